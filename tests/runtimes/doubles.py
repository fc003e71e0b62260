"""Openers for the child process, beside the real ones: TorchScript programs, and programs that misbehave."""

from __future__ import annotations

import os
import signal
import sys
import time


def open_torchscript(path, *, inputs, outputs, threads):
    import torch

    torch.set_num_threads(threads)
    module = torch.jit.load(path)

    def run(arrays):
        with torch.jit.optimized_execution(False), torch.inference_mode():  # compiling takes longer than a clip
            result = module(*(torch.from_numpy(arrays[name]) for name in inputs))
        return {outputs[0]: result.detach().numpy()}

    return run


def open_numpy(path, *, inputs, outputs, threads):
    """Does what the file's one word says."""
    behaviour = path.read_text()
    if behaviour == "crash on load":
        os.kill(os.getpid(), signal.SIGSEGV)

    def run(arrays):
        match behaviour:
            case "crash":
                os.kill(os.getpid(), signal.SIGSEGV)
            case "say and die":
                sys.stderr.write("kernel add.out is missing\n")
                sys.stderr.flush()
                os._exit(7)
            case "hang":
                time.sleep(3600)
            case "slow":
                time.sleep(0.2)
            case "raise":
                raise ValueError("the program\nis not supported")
            case "chatter":
                print("chatter on standard output", flush=True)
                os.write(1, b"more of it\n")
            case "threads":
                return {outputs[0]: arrays[inputs[0]] * 0 + threads}
            case "wrong shape":
                return {outputs[0]: arrays[inputs[0]][:1]}
        return {outputs[0]: arrays[inputs[0]] * 2}

    return run


def open_crashing_decoder(path, *, inputs, outputs, threads):
    """TorchScript, except that the decoder kills its process."""
    run = open_torchscript(path, inputs=inputs, outputs=outputs, threads=threads)

    def crash(arrays):
        os.kill(os.getpid(), signal.SIGSEGV)

    return crash if "decoder" in str(path) else run
