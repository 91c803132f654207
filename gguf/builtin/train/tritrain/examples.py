"""The worked example of docs/examples: 200 requests in the format of the OpenAI Batch API, and what must come back."""

import json

# How many items of each group; they are spread evenly over it, whatever the model makes of them.
_SHARE = {
    "additions to 99, held out": 50, "subtractions to 99, held out": 30, "additions, other wording": 10, "additions, plain": 10,
    "additions to 999, held out": 10, "capitals, asked": 25, "capitals, continued": 10, "capitals, reversed": 15, "other facts": 20,
    "number words": 4, "counting": 4, "stories, held-out combinations": 4, "capital after a story": 4, "questions without an answer": 4,
}


def write(folder, data):
    """batch.jsonl and answers.jsonl: {custom_id, answer} or {custom_id, words} that must all be in it."""
    requests, answers = [], []
    for g in data["groups"]:
        n = _SHARE.get(g["name"], 0)
        for i in range(n):
            item, name = g["items"][i * len(g["items"]) // n], f"{g['name'].replace(',', '').replace(' ', '-')}-{i + 1}"
            if g["kind"] == "plain":
                url, body = "/v1/completions", dict(prompt=item["m"][0])
            else:
                messages = [dict(role=("user", "assistant")[j % 2], content=m) for j, m in enumerate(item["m"])]
                url, body = "/v1/chat/completions", dict(messages=messages)
            body = dict(model="mini", **body, max_tokens=g["tokens"], temperature=0)
            requests.append(dict(custom_id=name, method="POST", url=url, body=body))
            answers.append(dict(custom_id=name, answer=item["a"]) if "a" in item else dict(custom_id=name, words=item["w"]))
    for file, lines in (("batch.jsonl", requests), ("answers.jsonl", answers)):
        (folder / file).write_text("".join(json.dumps(x, ensure_ascii=False) + "\n" for x in lines))
    return len(requests)
