"""From the bytes of an assistant's stream to sentences that can be spoken.

```python
reader = SentenceReader(language="en")
for event in read_stream(sys.stdin):        # Claude Code, Codex, Gemini, OpenAI or plain text
    for sentence in reader.feed(event):     # as soon as they are certain
        print(sentence.text)
for sentence in reader.close():
    print(sentence.text)
```

The way of a character: `source` decodes bytes as they come; `events` finds the format and its
adapter (`adapters`, `claude`) says what is new text, what ended and what is withdrawn; `clean`
takes terminal escapes out; `blocks` and `inline`, joined in `markdown`, leave what can be spoken;
`sentences` cuts it. Right before the voice, `reading` puts into words what is no plain word.
Nothing of this depends on how the bytes were cut on their way here, and nothing raises on what they
hold. There is no MLX here.
"""

from __future__ import annotations

from .adapters import TextEvent
from .events import FORMATS, read_stream
from .markdown import MarkdownReader, Placeholders, speakable
from .reading import read_aloud
from .sentences import MAX_LENGTH, Sentence, SentenceReader, SentenceSplitter, split_sentences

__all__ = [
    "FORMATS",
    "MAX_LENGTH",
    "MarkdownReader",
    "Placeholders",
    "Sentence",
    "SentenceReader",
    "SentenceSplitter",
    "TextEvent",
    "read_aloud",
    "read_stream",
    "speakable",
    "split_sentences",
]
