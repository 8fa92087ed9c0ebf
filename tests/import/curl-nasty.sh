$ curl https://shop.example/prompt
echo "not curl" && curl -F file=@x.png https://shop.example/upload
curl 'https://shop.example/{a,b}' https://shop.example/[1-3] 'https://shop.example/?filter[name]={x}'
curl -T up.bin https://shop.example/put ; curl --unix-socket /run/x.sock http://localhost/
curl --no-such-option --insec -Zq https://shop.example/unknown --http3 --digest -u robot
curl -d @body.json -d @- -b cookies.txt -c jar.txt https://shop.example/files
curl -H "X-Token: $(cat s3cret-file)" -H 'Accept:' -H 'X-Empty;' -H broken https://shop.example/headers
curl https://shop.example/"${PATH_PART:-x}"'$literal ${literal}' "http://user:s3cret-url@shop.example/"
curl ftp://shop.example/file; curl; curl ''
curl -X "BAD METHOD" -m soon --connect-timeout 2 --interface eth0 --dns-servers 192.0.2.53 http://shop.example --http2
curl ^"https://shop.example/cmd^" -H ^"accept: x^"
curl https://shop.example/ok -H 'x: y' 'unclosed
curl https://shop.example/never
