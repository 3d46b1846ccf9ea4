"""A JSON Web Token signed with HS256, by nothing but the standard library: secret and claims are the arguments."""

import base64
import hashlib
import hmac
import json
import sys


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


secret, claims = sys.argv[1:3]
head = encoded(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
text = head + "." + encoded(claims.encode())
signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest()
print(json.dumps({"token": text + "." + encoded(signature)}))
