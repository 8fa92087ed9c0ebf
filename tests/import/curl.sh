#!/bin/bash
# Checks of the shop, as an operator keeps them.
set -e
API=https://api.shop.example
curl -sS -o /dev/null -w '%{http_code}\n' https://shop.example/
curl -fsSL --max-time 10 --retry 3 'https://shop.example/search?q=a%20b' | jq .items
curl "$API/orders" -H "Authorization: Bearer $TOKEN" -H 'Accept: application/json' --compressed

# Copied from a browser.
curl 'https://shop.example/login' \
  -X 'POST' \
  -H 'authority: shop.example' \
  -H 'content-type: application/json' \
  -H 'cookie: session=s3cret-cookie; theme=dark' \
  -H $'x-note: it\'s \u00fcber' \
  -H 'user-agent: Mozilla/5.0 (X11; Linux x86_64)' \
  --data-raw $'{"user":"ada","password":"s3cret-body","note":"l\'été"}' \
  --compressed
curl -u ops:s3cret-basic -d a=1 --data-urlencode 'b=x y&z' https://shop.example/form
curl -G -d q=teapot -d limit=5 https://shop.example/search
curl -I -k --resolve shop.example:443:192.0.2.7 https://shop.example/
curl --json '{"a": [1, 2]}' https://shop.example/json -A probe/1 -e https://shop.example/
curl -x http://proxy.example:3128 -U me:s3cret-proxy --cacert ca.pem --cert client.pem --key client.key -4 https://partners.shop.example/
curl shop.example/a shop.example/b --next -XDELETE http://[2001:db8::1]:8080/c
