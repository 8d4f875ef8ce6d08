"""Have Claude Code speak each answer when it is complete, through a warm process.

    cp examples/claude_settings.json .claude/settings.json      # or merge it into yours

The hook gets the path of the session on standard input, and returns at once.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

session = Path(json.load(sys.stdin)["transcript_path"]).expanduser()
records = [json.loads(line) for line in session.read_text("utf-8").splitlines() if line.strip()]
answer = ""
for record in reversed(records):
    if record.get("type") == "user":
        break
    parts = record.get("message", {}).get("content", [])
    texts = [part["text"] for part in parts if part.get("type") == "text"]
    answer = "\n\n".join([*texts, answer])
command = [shutil.which("mlx-speak") or "mlx-speak", "--keep", "--quiet", *sys.argv[1:]]
speech = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
speech.stdin.write(answer.encode())
speech.stdin.close()
