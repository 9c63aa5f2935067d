"""What `train_step.rs` times, with PyTorch and peft on the folder that it wrote.

    python train_step.py FOLDER align|tune [STEPS]          (needs torch, transformers, peft)
"""

import statistics
import sys
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaForCausalLM

ROWS, POSITIONS, TARGETS, PICTURE, CHANNELS = 8, 80, 27, 49, 1280
MODULES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


class Projector(nn.Module):
    """As models/src/projector.rs, without its factor."""

    def __init__(self, width):
        super().__init__()
        self.linear, self.norm = nn.Linear(CHANNELS, width), nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, features):
        x = self.norm(self.linear(features))
        return x + self.fc2(nn.functional.gelu(self.fc1(x)))


def main(folder, stage, steps=10):
    torch.set_num_threads(2)
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).train()
    model.requires_grad_(False)
    projector = Projector(model.config.hidden_size)
    if stage == "tune":
        model = get_peft_model(model, LoraConfig(r=16, lora_alpha=32, target_modules=MODULES))
    base = model.get_base_model() if stage == "tune" else model
    trained = [p for p in [*model.parameters(), *projector.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)

    n, vocabulary = ROWS * POSITIONS, model.config.vocab_size
    index = torch.arange(n)
    ids = (index * 7919 % vocabulary).reshape(ROWS, POSITIONS)
    features = torch.sin(torch.arange(ROWS * PICTURE * CHANNELS) * 0.37).reshape(ROWS, PICTURE, CHANNELS)
    rows = index[index % POSITIONS + TARGETS >= POSITIONS]
    wanted = (index * 10_007 % vocabulary)[rows]

    def step():
        optimizer.zero_grad()
        text = base.get_input_embeddings()(ids[:, PICTURE:])
        embeds = torch.cat([projector(features), text], dim=1)
        hidden = base.model(inputs_embeds=embeds, use_cache=False).last_hidden_state.flatten(0, 1)
        loss = nn.functional.cross_entropy(base.lm_head(hidden[rows]), wanted)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        return loss.item(), norm.item()

    loss, norm = step()
    print(f"loss {loss:.4f}, gradient's norm {norm:.4e}")
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
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
