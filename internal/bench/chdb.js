// Convert a gzip DynamoDB JSON export of the bench's orders to typed Parquet with chDB (ClickHouse), its schema written by hand.
//
// usage: node chdb.js MODULE OUT FILE...   prints {"rows": N}
const path = require("path");
const [module_, out, ...files] = process.argv.slice(2);
process.chdir("/"); // its file() reads below the working directory only
const { query } = require(module_);

const t = "Tuple(S String)", n = "Tuple(N String)";
const item =
  `Tuple(orderId ${t}, customerId ${t}, createdAt ${t}, updatedAt ${n}, status ${t}, region ${t}, total ${n}, express Tuple(BOOL Bool),` +
  ` address Tuple(M Tuple(street ${t}, zip ${t}, city ${t})), lines Tuple(L Array(Tuple(M Tuple(sku ${t}, qty ${n}, price ${n})))),` +
  ` tags Tuple(SS Array(String)), note ${t}, version ${n})`;
const pattern = path.join(path.dirname(files[0]), "*.json.gz");
query(
  `INSERT INTO FUNCTION file('${out}', Parquet)
   SELECT Item.orderId.S AS orderId, Item.customerId.S AS customerId, Item.createdAt.S AS createdAt, toInt64(Item.updatedAt.N) AS updatedAt,
     Item.status.S AS status, Item.region.S AS region, toDecimal64(Item.total.N, 2) AS total, Item.express.BOOL AS express,
     CAST(tuple(Item.address.M.street.S, Item.address.M.zip.S, Item.address.M.city.S), 'Tuple(street String, zip String, city String)') AS address,
     CAST(arrayMap(x -> tuple(x.M.sku.S, toInt64(x.M.qty.N), toDecimal64(x.M.price.N, 2)), Item.lines.L), 'Array(Tuple(sku String, qty Int64, price Decimal(18, 2)))') AS lines,
     Item.tags.SS AS tags, Item.note.S AS note, toInt64(Item.version.N) AS version
   FROM file('${pattern}', JSONEachRow, 'Item ${item}')
   SETTINGS max_threads=1, output_format_parquet_compression_method='zstd'`,
  "CSV",
);
console.log(JSON.stringify({ rows: Number(String(query(`SELECT count() FROM file('${out}', Parquet)`, "CSV")).trim()) }));
