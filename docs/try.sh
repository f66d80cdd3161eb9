# For the examples in these pages, in the folder of the clone and while `make run` serves: source docs/try.sh
# Set ATOLL to another address, and TOKEN to a token of your own, to try another chain.

export ATOLL=${ATOLL:-http://localhost:8080}
export TOKEN=${TOKEN:-$(./atoll token --role FRONT_DESK --role CLINICIAN --role BILLING --site abq)}

# curl as this caller. Give it `-d '{…}'`, and it is a POST.
api() { curl -sS -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' "$@"; }

# What a Python expression makes of the JSON that comes in, which it calls `it`: json 'it["site"]["id"]'. jq does as well.
json() { python3 -c 'import json, sys; it = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# A new request_id, for a request that changes something.
new_id() { python3 -c 'import uuid; print(uuid.uuid4())'; }
