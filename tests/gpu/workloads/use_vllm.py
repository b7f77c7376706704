"""vLLM: a tiny model with made-up weights, since nothing can be fetched."""

import json
import os
import tempfile
from pathlib import Path

import torch
from answering import answer

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_hidden_layers": 2,
    "vocab_size": 1024,
    "max_position_embeddings": 512,
    "torch_dtype": "float16",
}


def work() -> float:
    """How many tokens come out."""
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    from vllm import LLM, SamplingParams

    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps(CONFIG))
        part = 0.05 if os.environ.get("GPU_CHECK_BARE") else 0.8
        model = LLM(folder, load_format="dummy", skip_tokenizer_init=True, gpu_memory_utilization=part)
        asked = SamplingParams(max_tokens=32, detokenize=False, ignore_eos=True)
        results = model.generate([{"prompt_token_ids": list(range(1, 17))}] * 8, asked)
    return float(sum(len(result.outputs[0].token_ids) for result in results))


if __name__ == "__main__":
    import vllm

    total = torch.cuda.mem_get_info()[1]
    answer(f"vllm {vllm.__version__}", total, work, lambda size: torch.empty(size, dtype=torch.uint8, device="cuda"))
