# Serves one model on a free loopback port until standard input closes. Reads its settings as a line of JSON.
import json
import os
import sys
import threading

settings = json.loads(sys.stdin.buffer.readline())
if sys.version_info < (3, 10):
    os._exit(5)


def lifeline():
    while os.read(0, 4096):
        pass
    os._exit(0)


threading.Thread(target=lifeline, daemon=True).start()
sys.path[0] = settings["packages"]

import xllamacpp  # noqa: E402

params = xllamacpp.CommonParams()
params.model.path = settings["model"]
params.model_alias = {settings["alias"]}
params.hostnames = ["127.0.0.1"]
params.port = 0
params.api_keys = [settings["key"]]
params.n_parallel = settings["slots"]
params.n_ctx = settings["slots"] * settings["window"]
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = settings["threads"]
params.cache_ram_mib = 1024
params.sse_ping_interval = 10
params.verbosity = 2
params.fit_params = params.warmup = params.ui = False
server = xllamacpp.Server(params)
print("READY", server.listening_address, flush=True)
os.dup2(2, 1)
threading.Event().wait()
