"""One call of an AWS API by boto3, AWS's own client.

In: JSON on standard input, with `endpoint`, `keys`, `service`, `operation` and `arguments`.
Out: JSON on standard output, `{"ok": result}` or `{"error": code}`.
"""

import json
import sys

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

call = json.load(sys.stdin)
keys = call["keys"]
client = boto3.client(
    call["service"],
    endpoint_url=call["endpoint"],
    region_name="us-east-1",
    aws_access_key_id=keys["id"],
    aws_secret_access_key=keys["secret"],
    aws_session_token=keys["session"],
    config=Config(retries={"total_max_attempts": 1}),
)
try:
    answer = {"ok": getattr(client, call["operation"])(**call["arguments"])}
except ClientError as error:
    answer = {"error": error.response["Error"]["Code"]}
print(json.dumps(answer, default=str))
