#!/usr/bin/env bash
# The whole way on synthetic X-rays: build, search, train, evaluate, explain, export, serve, call.
# Everything goes into one folder. An earlier demo in it is replaced; a folder with other files is refused.
# Usage: ./demo.sh [FOLDER]
set -euo pipefail
shopt -s dotglob nullglob

refuse() { echo "demo.sh: $1: choose another folder" >&2; exit 2; }

folder=${1:-demo}
[[ $folder != -* ]] || folder=./$folder # it is no option
mark=made-by-demo.sh
[[ ! -e $folder || -d $folder ]] || refuse "'$folder' is a file"
for entry in "$folder"/*; do
  [[ -e $folder/$mark ]] || refuse "'$folder' was made by something else, it holds '${entry##*/}'"
  case ${entry##*/} in
    "$mark" | chest_xray | records | run | models | overlays | .DS_Store) ;;
    *) refuse "'$folder' holds '${entry##*/}', which no demo wrote" ;;
  esac
done
# Nothing is deleted here: the commands replace what they wrote themselves, and refuse everything else.
mkdir -p "$folder"
echo "demo.sh made this folder, and makes it anew each time." > "$folder/$mark"

server=
log=$(mktemp)
end() {
  [[ -z $server ]] || { kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; }
  rm -f "$log"
}
trap end EXIT

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
run() { printf '\033[2m$ %s\033[0m\n' "$*"; "$@"; }
free_port() { python -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

say "1. Draw synthetic chest X-rays with known lesions, and build records of them"
run python -m tfrecords_builder.synthesize "$folder/chest_xray" --overwrite
run python -m tfrecords_builder "$folder/chest_xray" "$folder/records" --image-size 64 \
  --lungs "$folder/chest_xray/lungs" --overwrite

say "2. Search the architecture; the best is trained in full"
run python -m tuning.search "$folder/records" "$folder/run" --overwrite \
  --space small --tuner random --max-trials 3 --trial-epochs 3 --epochs 25

say "3. Evaluate it on the test images"
run python -m pipeline.evaluate "$folder/run" "$folder/records"

say "4. Export it, and serve it"
run python -m serving.export "$folder/run" "$folder/models"
grpc_port=$(free_port)
rest_port=$(free_port)
printf '\033[2m$ %s\033[0m\n' "python -m serving.local $folder/models --grpc-port $grpc_port --rest-port $rest_port &"
python -m serving.local "$folder/models" --grpc-port "$grpc_port" --rest-port "$rest_port" > "$log" 2>&1 &
server=$!
until grep -q '^ready' "$log"; do
  kill -0 "$server" 2> /dev/null || { cat "$log" >&2; exit 1; }
  sleep 0.2
done

say "5. Check that the server has the model that was evaluated"
run python -m serving.client --verify "$folder/models" --address "127.0.0.1:$grpc_port"

say "6. Ask the server about X-rays it has never seen, over REST and over gRPC, and why it answers as it does"
normal=("$folder"/chest_xray/test/NORMAL/*.jpeg)
pneumonia=("$folder"/chest_xray/test/PNEUMONIA/*.jpeg)
run python -m serving.client "${normal[0]}" "${pneumonia[0]}" --transport rest --address "127.0.0.1:$rest_port"
run python -m serving.client "${normal[0]}" "${pneumonia[0]}" --address "127.0.0.1:$grpc_port" --overlay "$folder/overlays"

overlays=("$folder"/overlays/*.png)
say "Look at"
echo "  ${overlays[-1]}   what counts as evidence for the answer, over the X-ray"
echo "  $folder/run/evaluation/records-test/report.html   how good the classifier is"
echo "  $folder/run/search/search.html   what the search tried"
say "To drop X-rays on a page, run these two, and open http://127.0.0.1:8080/"
echo "  .venv/bin/python -m serving.local $folder/models &"
echo "  .venv/bin/python -m serving.web"
