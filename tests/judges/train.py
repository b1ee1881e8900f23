"""A small judge, trained within seconds on labelled documents and saved as transformers saves its models.

Its vocabulary is bytes and the commonest pairs of them, learned from the documents and the prompt; it has single tokens
for yes and no, marks of turns and a chat template, as the large ones have.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, T5Config, T5ForConditionalGeneration

from worker.kinds.text.judging_prompt import Prompt

TEMPLATE = "{% for m in messages %}<|user|>{{ m['content'] }}<|end|>{% endfor %}<|assistant|>"
MARKS = ("<|pad|>", "<|user|>", "<|end|>", "<|assistant|>")


def train_judge(
    folder: Path, texts: Sequence[str], good: Sequence[bool], *, seed: int = 0, context: int = 512, epochs: int = 3,
    characters: int = 300, rate: float = 2e-3,
) -> Path:  # fmt: skip
    """Save a causal judge of about 1.5 million parameters that says yes to the good texts;
    untrained for no epochs."""
    prompt = Prompt("signal-1", "probability")
    prompts = [prompt.about(text[:characters]) for text in texts]
    tokenizer = _tokenizer(prompts, 8_192, context)
    tokenizer.chat_template = TEMPLATE
    framed = [f"<|user|>{one}<|end|><|assistant|>" for one in prompts]
    encoded = [ids[-context:] for ids in tokenizer(framed)["input_ids"]]
    answers = [tokenizer.encode(word)[0] for word in ("no", "yes")]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=8_192, hidden_size=128, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
            intermediate_size=256, max_position_embeddings=context, tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        )  # fmt: skip
        model = LlamaForCausalLM(config)
        if epochs:
            _fit(model, encoded, [answers[int(one)] for one in good], tokenizer.pad_token_id, epochs, rate)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def random_t5(folder: Path, texts: Sequence[str], *, seed: int = 0) -> Path:
    """Save an untrained encoder-decoder: what it says is chance, but the same chance every time."""
    tokenizer = _tokenizer([Prompt("signal-1", "probability").about(text) for text in texts], 2_048, 512)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = T5Config(
            vocab_size=2_048, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4, n_positions=512,
            pad_token_id=tokenizer.pad_token_id, decoder_start_token_id=tokenizer.pad_token_id,
            eos_token_id=tokenizer.convert_tokens_to_ids("<|end|>"),
        )  # fmt: skip
        model = T5ForConditionalGeneration(config)
        for weights in model.parameters():
            weights.data.mul_(3.0)  # else all answers are nearly alike
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _tokenizer(texts: Sequence[str], size: int, context: int) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["yes no Yes No YES NO"] * 100 + ["yes", "no", "Yes", "No"] * 100
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=alphabet, special_tokens=list(MARKS), show_progress=False
    )
    bpe.train_from_iterator([*texts, *words], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe, pad_token="<|pad|>", eos_token="<|end|>", model_max_length=context,
        additional_special_tokens=["<|user|>", "<|assistant|>"],
    )  # fmt: skip


def _fit(
    model: LlamaForCausalLM,
    encoded: Sequence[Sequence[int]],
    answers: Sequence[int],
    pad: int,
    epochs: int,
    rate: float,
) -> None:
    batch, order = 8, torch.randperm(len(encoded)).tolist()
    steps = epochs * -(-len(order) // batch)
    words = model.get_input_embeddings().weight
    rest = [weights for weights in model.parameters() if weights is not words]
    # Words learn faster, so that nearly all probability goes to yes and no.
    optimiser = torch.optim.AdamW([{"params": [words]}, {"params": rest}], lr=rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, [6 * rate, rate], total_steps=steps, pct_start=0.1)
    model.train()
    for step in range(steps):
        chosen = [order[(step * batch + at) % len(order)] for at in range(batch)]
        longest = max(len(encoded[at]) for at in chosen)
        ids = torch.tensor([[pad] * (longest - len(encoded[at])) + list(encoded[at]) for at in chosen])
        mask = torch.tensor([[0] * (longest - len(encoded[at])) + [1] * len(encoded[at]) for at in chosen])
        logits = model(
            input_ids=ids, attention_mask=mask, position_ids=(mask.cumsum(-1) - 1).clamp(min=0), logits_to_keep=1
        ).logits[:, -1]
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor([answers[at] for at in chosen]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
    model.eval()
