"""What `train_step.rs` times, with PyTorch and peft (and bitsandbytes, for --nf4) on the folder that it wrote.

    python train_step.py FOLDER --stage align|tune [--device cpu|cuda] [--nf4] [--steps N]

Needs torch, transformers, peft. The folder's own model type decides the sizes of the batch, as in `train_step.rs`.
"""

import argparse
import statistics
import time
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

PICTURE = 49
# Rows, positions, targets, channels, rank, modules.
CASES = {
    "llama": (8, 80, 27, 1280, 16, ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]),
    "phi": (4, 107, 31, 768, 64, ["q_proj", "k_proj", "v_proj", "dense", "fc1", "fc2"]),
}


class Projector(nn.Module):
    """As models/src/projector.rs, without its factor."""

    def __init__(self, channels, width):
        super().__init__()
        self.linear, self.norm = nn.Linear(channels, width), nn.LayerNorm(width)
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)

    def forward(self, features):
        x = self.norm(self.linear(features))
        return x + self.fc2(nn.functional.gelu(self.fc1(x)))


def main(arguments):
    torch.set_num_threads(2)
    device = torch.device(arguments.device)
    dtype = torch.float32 if device.type == "cpu" else torch.bfloat16
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
    model = AutoModelForCausalLM.from_pretrained(
        arguments.folder, dtype=dtype, device_map=device, quantization_config=four_bits if arguments.nf4 else None
    )
    model.requires_grad_(False).train()
    count, positions, targets, channels, rank, modules = CASES[model.config.model_type]
    projector = Projector(channels, model.config.hidden_size).to(device)
    tune = arguments.stage == "tune"
    if tune:
        model = get_peft_model(model, LoraConfig(r=rank, lora_alpha=32, target_modules=modules))
    base = model.get_base_model() if tune else model
    trained = [p for p in [*model.parameters(), *projector.parameters()] if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.0)

    n, vocabulary = count * positions, model.config.vocab_size
    index = torch.arange(n)
    ids = (index * 7919 % vocabulary).reshape(count, positions).to(device)
    features = torch.sin(torch.arange(count * PICTURE * channels) * 0.37)
    features = features.reshape(count, PICTURE, channels).to(device)
    rows = index[index % positions + targets >= positions]
    wanted = (index * 10_007 % vocabulary)[rows].to(device)
    rows = rows.to(device)

    def step():
        optimizer.zero_grad()
        text = base.get_input_embeddings()(ids[:, PICTURE:])
        embeds = torch.cat([projector(features).to(text.dtype), text], dim=1)
        hidden = base.model(inputs_embeds=embeds, use_cache=False).last_hidden_state.flatten(0, 1)
        loss = nn.functional.cross_entropy(base.lm_head(hidden[rows]).float(), wanted)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        # Waits for a GPU, too.
        return loss.item(), norm.item()

    loss, norm = step()
    print(f"loss {loss:.4f}, gradient's norm {norm:.4e}")
    times = []
    for _ in range(arguments.steps):
        started = time.perf_counter()
        step()
        times.append(time.perf_counter() - started)
    median = statistics.median_high(times)
    print(f"{1e3 * median:.0f} ms a step (median of {arguments.steps})")
    print(f"{n / median:.0f} positions a second")
    status = Path("/proc/self/status").read_text()
    print(next(line for line in status.splitlines() if line.startswith("VmHWM")))
    if device.type == "cuda":
        print(f"{torch.cuda.max_memory_allocated() / 1e9:.2f} GB of GPU memory")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--stage", choices=["align", "tune"], required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--nf4", action="store_true")
    parser.add_argument("--steps", type=int, default=10)
    main(parser.parse_args())
