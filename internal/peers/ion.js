// Judges our Ion with Amazon's own reader and writer, by a mapping of its own.
//
//   node ion.js MODULES read FILE            Ion of any form -> DynamoDB JSON, an item a line
//   node ion.js MODULES text|pretty|binary FILE   DynamoDB JSON, an item a line -> Ion
//   node ion.js MODULES export FOLDER        data files of an export -> DynamoDB JSON; to stderr, how many items and the
//                                            sum of their totals in cents
"use strict";
const fs = require("fs");
const path = require("path");
const [modules, mode, file] = process.argv.slice(2);
const ion = require(path.join(modules, "ion-js"));
const { IonTypes } = ion;
const sets = { $dynamodb_SS: "SS", $dynamodb_NS: "NS", $dynamodb_BS: "BS" };

function fail(what) {
  throw new Error(what);
}

// number prints a decimal by coefficient and exponent, so that no digit passes through a double.
function number(reader) {
  const d = reader.decimalValue();
  return `${d.isNegative() ? "-" : ""}${d.getCoefficient().toString().replace("-", "")}E${d.getExponent()}`;
}

function scalar(reader, type) {
  switch (type) {
    case IonTypes.STRING:
      return ["S", JSON.stringify(reader.stringValue())];
    case IonTypes.DECIMAL:
      return ["N", JSON.stringify(number(reader))];
    case IonTypes.BLOB:
      return ["B", JSON.stringify(Buffer.from(reader.uInt8ArrayValue()).toString("base64"))];
    case IonTypes.BOOL:
      return ["BOOL", String(reader.booleanValue())];
  }
  return fail(`a ${type.name}`);
}

function value(reader, type) {
  const notes = reader.annotations();
  if (reader.isNull()) {
    if (type !== IonTypes.NULL || notes.length > 0) fail("a null of a type");
    return '{"NULL":true}';
  }
  if (notes.length > 0) {
    const set = sets[notes[0]];
    if (!set || notes.length > 1 || type !== IonTypes.LIST) fail(`annotations ${notes}`);
    return `{"${set}":[${elements(reader, (t) => {
      const [member, text] = scalar(reader, t);
      if (member !== set[0]) fail(`${member} in a ${set}`);
      return text;
    })}]}`;
  }
  if (type === IonTypes.STRUCT) return `{"M":${members(reader)}}`;
  if (type === IonTypes.LIST) return `{"L":[${elements(reader, (t) => value(reader, t))}]}`;
  const [name, text] = scalar(reader, type);
  return `{"${name}":${text}}`;
}

function elements(reader, element) {
  const all = [];
  reader.stepIn();
  for (let t; (t = reader.next()); ) all.push(element(t));
  reader.stepOut();
  return all.join(",");
}

function members(reader) {
  const all = [];
  reader.stepIn();
  for (let t; (t = reader.next()); ) all.push(`${JSON.stringify(reader.fieldName())}:${value(reader, t)}`);
  reader.stepOut();
  return `{${all.join(",")}}`;
}

// items reads all items of a stream.
function items(bytes) {
  const reader = ion.makeReader(bytes);
  const out = [];
  for (let t; (t = reader.next()); ) {
    if (t !== IonTypes.STRUCT) fail(`a ${t.name} at the top`);
    reader.stepIn();
    if (reader.next() !== IonTypes.STRUCT || reader.fieldName() !== "Item") fail("no Item");
    out.push(members(reader));
    if (reader.next()) fail("more than an Item");
    reader.stepOut();
  }
  return out;
}

function print(lines) {
  process.stdout.write(lines.map((line) => line + "\n").join(""));
}

// cents is the total of an item as members has printed it.
function cents(line) {
  const [, coefficient, exponent] = /"total":\{"N":"(-?\d+)E(-?\d+)"/.exec(line);
  return BigInt(coefficient) * 10n ** BigInt(2 + Number(exponent));
}

// readExport reads line by line: a file is larger than what JavaScript takes as one text.
async function readExport() {
  let count = 0;
  let sum = 0n;
  for (const name of fs.readdirSync(file)) {
    const plain = fs.createReadStream(path.join(file, name)).pipe(require("zlib").createGunzip());
    for await (const line of require("readline").createInterface({ input: plain })) {
      if (line.trim() === "") continue;
      const made = items(line);
      for (const one of made) sum += cents(one);
      count += made.length;
      print(made);
    }
  }
  process.stderr.write(JSON.stringify({ items: count, cents: Number(sum) }));
}

function write(writer, wrapped) {
  const [type, v] = Object.entries(wrapped)[0];
  switch (type) {
    case "S":
      return writer.writeString(v);
    case "N":
      return writer.writeDecimal(ion.Decimal.parse(/[.]/.test(v) ? v : v + "."));
    case "B":
      return writer.writeBlob(Buffer.from(v, "base64"));
    case "BOOL":
      return writer.writeBoolean(v);
    case "NULL":
      return writer.writeNull(IonTypes.NULL);
    case "M":
      return fields(writer, v);
    case "L":
      writer.stepIn(IonTypes.LIST);
      for (const e of v) write(writer, e);
      return writer.stepOut();
  }
  writer.setAnnotations([`$dynamodb_${type}`]);
  writer.stepIn(IonTypes.LIST);
  for (const e of v) write(writer, { [type[0]]: e });
  return writer.stepOut();
}

function fields(writer, members) {
  writer.stepIn(IonTypes.STRUCT);
  for (const [name, v] of members) {
    writer.writeFieldName(name);
    write(writer, v);
  }
  writer.stepOut();
}

// parse keeps the members of maps as pairs: an object would lose the name __proto__ and move numbers to the front.
function parse(wrapped) {
  const [type, v] = Object.entries(wrapped)[0];
  if (type === "M") return { M: v.map(([name, inner]) => [name, parse(inner)]) };
  if (type === "L") return { L: v.map(parse) };
  return wrapped;
}

function encode(writer) {
  for (const line of fs.readFileSync(file, "utf8").split("\n")) {
    if (line === "") continue;
    writer.stepIn(IonTypes.STRUCT);
    writer.writeFieldName("Item");
    fields(writer, JSON.parse(line).map(([name, v]) => [name, parse(v)]));
    writer.stepOut();
  }
  writer.close();
  process.stdout.write(Buffer.from(writer.getBytes()));
}

const writers = { text: ion.makeTextWriter, pretty: ion.makePrettyWriter, binary: ion.makeBinaryWriter };
if (mode === "read") print(items(fs.readFileSync(file)));
else if (mode === "export") readExport();
else encode(writers[mode]());
