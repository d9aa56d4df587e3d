"""Asks `vrft serve` with OpenAI's own client: python serve_client.py ADDRESS TOKEN PICTURE"""

import base64
import sys
import urllib.parse
import urllib.request
import json

import openai

address, token, picture = sys.argv[1:]
address = address.rstrip("/")
with open(picture, "rb") as file:
    url = "data:image/png;base64," + base64.b64encode(file.read()).decode()

ask = urllib.request.Request(
    f"{address}/v1/question?" + urllib.parse.urlencode({"category": "handwritten digit"}),
    headers={"Authorization": f"Bearer {token}"},
)
question = json.load(urllib.request.urlopen(ask))["text"]
messages = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": question},
        ],
    }
]

client = openai.OpenAI(base_url=f"{address}/v1", api_key=token, max_retries=0)
model = client.models.list().data[0].id
whole = client.chat.completions.create(model=model, messages=messages, max_tokens=60)
text = whole.choices[0].message.content
assert whole.choices[0].finish_reason == "stop" and whole.usage.completion_tokens > 10, whole
assert whole.model_extra["vrft"]["found"][0]["box"], whole

stream = client.chat.completions.create(
    model=model, messages=messages, max_tokens=60, stream=True, stream_options={"include_usage": True}
)
words, usage = "", None
for chunk in stream:
    usage = chunk.usage or usage
    if chunk.choices:
        words += chunk.choices[0].delta.content or ""
assert words == text and usage.total_tokens == whole.usage.total_tokens, (words, text, usage)
print("whole and streamed agree:", text)
assert len(whole.system_fingerprint) == 16, whole

instructed = [{"role": "developer", "content": "Look closely."}, *messages]
seeded = client.chat.completions.create(model=model, messages=instructed, max_tokens=60, seed=-1)
assert seeded.usage.prompt_tokens > whole.usage.prompt_tokens, seeded
print("a developer and a negative seed are heard")

try:
    openai.OpenAI(base_url=f"{address}/v1", api_key="guess", max_retries=0).models.list()
except openai.AuthenticationError as error:
    print("a wrong token is refused:", error)

try:
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    client.chat.completions.create(model=model, messages=messages, tools=[tool])
except openai.BadRequestError as error:
    print("tools are refused:", error)

try:
    client.chat.completions.create(model=model, messages=[{**messages[0], "temprature": 1}])
except openai.BadRequestError as error:
    assert "messages[0].temprature: not known here" in str(error), error
    print("an unknown key of a message is refused:", error)
