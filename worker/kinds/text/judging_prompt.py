"""What a judge is asked about a document (Sachdeva et al., "How to Train Data-Efficient LLMs", 2024, section 3.1).

The document stands between two fences; then come the question, what counts, and the two answers to choose from: the
four elements of the paper in its order, in words of ours. Wordings have names and never change under one: a figure is
only comparable to figures of the same wording, and reports hold its hash.

Documents are from strangers, and some of them talk to the judge. Nothing that stands in one can end the fence, nor be
read as a mark of the model's; what looks like an instruction stays in the text and is counted (`gives_orders`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Literal

from worker.llm.asking import Way

PromptId = Literal["signal-1", "signal-1-cue"]
FENCE = "###"

_QUESTION = "Does the paragraph between the fences above hold a useful signal for pre-training a large language model? "
_CRITERIA = (
    "Useful text is well formatted, teaches something about the world that is worth knowing, and is free of harmful, "
    "racist and sexist content."
)
_ENDINGS: dict[tuple[PromptId, Way], str] = {
    ("signal-1", "probability"): "OPTIONS:\n- yes\n- no\n",
    ("signal-1-cue", "probability"): "OPTIONS (yes / no):\n- yes\n- no\nReply with one word.\nANSWER:",
}
_VOTE = "OPTIONS:\n- yes\n- no\nReply with one word, yes or no."
_GRADE = (
    "OPTIONS:\n- from yes (100)\n- to no (0)\n"
    'Reply with JSON alone, {"score": n}, where n is a whole number from 0 to 100.'
)

# Marks with which chat models tell turns apart; those of the model at hand come on top.
_MARKS = re.compile(
    r"<(?=[|｜][^|｜<>\n]{1,40}[|｜]>|/?s>|bos>|eos>|pad>|unk>|(?:start|end)_of_turn>|extra_id_\d+>|</?SYS>>)"
    r"|\[(?=/?(?:INST|SYSTEM_PROMPT|TOOL_RESULTS|TOOL_CALLS|AVAILABLE_TOOLS)\])"
)
# Tokenisers make one sign of its wide and small forms (NFKC), and drop controls and signs of no width between them.
_UNSEEN = r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u034f\u200b-\u200f\u2060-\u2064\ufe00-\ufe0f\ufeff]*"
_HASHES = re.compile(rf"[#＃﹟](?:{_UNSEEN}[#＃﹟]){{2,}}")
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget)\b.{0,40}\b(?:above|previous|prior|earlier|instructions?|rules)\b"
    r"|\b(?:answer|reply|respond|say|output|print)\b.{0,20}\b(?:with|only)?\W{0,3}\byes\b"
    r"|\bthe (?:correct |right |only )?answer (?:is|must be|should be)\W{0,3}yes\b"
    r"|\byou are (?:now )?(?:a|an|the) (?:judge|grader|assistant|language model)\b"
    r"|\buseful signal for pre-?training\b",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(frozen=True)
class Prompt:
    """A wording for one way of asking. `reserved`: the model's own marks. `hash`: of all but the document."""

    id: PromptId
    way: Way
    reserved: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """SHA-256 in hexadecimal of the wording and of the rules for escaping."""
        rules = (_MARKS.pattern, _HASHES.pattern, *self.reserved)
        return hashlib.sha256("\0".join((self.about(""), *rules)).encode()).hexdigest()

    def about(self, document: str) -> str:
        """The question about one document, which is escaped."""
        return f"{FENCE}\n{self.escaped(document)}\n{FENCE}\n\n{_QUESTION}{_CRITERIA}\n\n{self._ending()}"

    def escaped(self, document: str) -> str:
        """The document without anything that could end the fence or a turn: `###` is spaced out, marks are broken."""
        text = _MARKS.sub(lambda found: found[0] + " ", _HASHES.sub(lambda found: " ".join(found[0]), document))
        for mark in self.reserved:
            if len(mark) > 1:
                text = text.replace(mark, mark[0] + " " + mark[1:])
        return text

    def _ending(self) -> str:
        if self.way == "probability":
            return _ENDINGS[self.id, self.way]
        return _GRADE if self.way == "grade" else _VOTE


def gives_orders(document: str) -> bool:
    """Whether a document holds what reads like an instruction to its judge."""
    return _ORDERS.search(document) is not None
