"""What `train_step.rs` times, with PyTorch on the folder that it wrote.

    python train_step.py FOLDER [TARGETS A SEQUENCE] [STEPS]          (needs torch, transformers)
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from transformers import LlamaForCausalLM

BATCH, POSITIONS = 8, 80


def main(folder, targets=27, steps=10):
    torch.set_num_threads(2)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    model.requires_grad_(False)
    n, vocabulary = BATCH * POSITIONS, model.config.vocab_size
    index = torch.arange(n)
    embeds = model.get_input_embeddings()((index * 7919 % vocabulary).reshape(BATCH, POSITIONS)).detach()
    rows = index[index % POSITIONS + targets >= POSITIONS]
    wanted = (index * 10_007 % vocabulary)[rows]
    embeds.requires_grad_(True)

    def step():
        embeds.grad = None
        hidden = model.model(inputs_embeds=embeds, use_cache=False).last_hidden_state.flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[rows]), wanted)
        loss.backward()
        return loss.item(), embeds.grad.norm().item()

    loss, norm = step()
    print(f"loss {loss:.6f}, gradient's norm {norm:.6e}")
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    median = statistics.median_high(times)
    print(f"{1e3 * median:.0f} ms a step (median of {steps})")
    print(f"{n / median:.0f} positions a second")
    status = Path("/proc/self/status").read_text()
    print(next(line for line in status.splitlines() if line.startswith("VmHWM")))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
