#!/usr/bin/env bash
# The whole way on synthetic X-rays: build, search, train, evaluate, explain, export, serve, call.
# Everything goes into one folder, anew each time.  Usage: ./demo.sh [FOLDER]
set -euo pipefail

folder=${1:-demo}
rm -rf "$folder"
mkdir -p "$folder"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }
free_port() { python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

say "1. Draw synthetic chest X-rays with known lesions, and build records of them"
run python -m tfrecords_builder.synthesize "$folder/chest_xray"
run python -m tfrecords_builder "$folder/chest_xray" "$folder/records"

say "2. Search the architecture; the best is trained in full"
run python -m tuning.search "$folder/records" "$folder/run" --max-trials 3 --trial-epochs 3 --epochs 10

say "3. Evaluate it on the test images"
run python -m pipeline.evaluate "$folder/run" "$folder/records"

say "4. Export it, and serve it"
run python -m serving.export "$folder/run" "$folder/models"
grpc_port=$(free_port)
rest_port=$(free_port)
: > "$folder/server.log"
printf '\033[2m$ %s\033[0m\n' "python -m serving.local $folder/models --grpc-port $grpc_port --rest-port $rest_port &"
python -m serving.local "$folder/models" --grpc-port "$grpc_port" --rest-port "$rest_port" > "$folder/server.log" 2>&1 &
server=$!
trap 'kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true' EXIT
until grep -q '^ready' "$folder/server.log"; do
  kill -0 "$server" 2> /dev/null || { cat "$folder/server.log" >&2; exit 1; }
  sleep 0.2
done

say "5. Ask the server about X-rays it has never seen, over REST and over gRPC, and why it answers as it does"
normal=("$folder"/chest_xray/test/NORMAL/*.jpeg)
pneumonia=("$folder"/chest_xray/test/PNEUMONIA/*.jpeg)
run python -m serving.client "${normal[0]}" "${pneumonia[0]}" --transport rest --address "127.0.0.1:$rest_port"
run python -m serving.client "${normal[0]}" "${pneumonia[0]}" --address "127.0.0.1:$grpc_port" --overlay "$folder/overlays"

overlays=("$folder"/overlays/*.png)
say "Look at"
echo "  ${overlays[-1]}   what speaks for the answer, over the X-ray"
echo "  $folder/run/evaluation/report.html   how good the classifier is"
echo "  $folder/run/search/leaderboard.csv   what the search tried"
