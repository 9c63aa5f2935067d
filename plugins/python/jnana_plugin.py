"""Write a Jnana plugin in Python: one function from an input to text, or to rows of numbers.

    from jnana_plugin import Input, plugin

    @plugin(id="shout", label="Shout", noun="Text", accepts=["text/plain"], control="text")
    def shout(given: Input) -> str:
        return given.text.upper()

    python3 jnana_plugin.py try plugin.py FILE       what the function makes of a file
    python3 jnana_plugin.py build plugin.py [MORE.py ...]   makes libshout.so; more modules travel with it

The library is a small one in C (bridge.c) that carries these sources. For each instance it starts a Python process, which
imports plugin.py once and then answers one call after the other. What the function prints goes to the server's log. A
ValueError blames the input, a MemoryError or OSError the machine, anything else the plugin; its words reach people.

With `max_positions=N` the function is an encoder: it returns rows, each `given.rows_width` numbers long, such as a list of
lists or a two-dimensional array. Standard library only; Python 3.9 or newer.
"""

import array
import json
import os
import queue
import runpy
import shlex
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

OK, INVALID_INPUT, RESOURCE, INTERNAL = 0, 1, 2, 4
FORMS = {1: "image", 2: "audio", 3: "raw"}

# Settings of the operator, filled in before plugin.py is imported.
settings = {}

_plugin = None


@dataclass(frozen=True)
class Input:
    """What a person sent, in the first form of `accepts` that the host could make of it."""

    form: str  # "raw": bytes as they came; "image": rgb8 pixels; "audio": mono samples, 32-bit floats
    data: bytes
    mime: str = ""  # of raw bytes
    width: int = 0  # of an image
    height: int = 0  # of an image
    sample_rate: int = 0  # of audio
    rows_width: int = 0  # how long an encoder's rows must be

    @property
    def text(self) -> str:
        """Raw bytes as text. What is not UTF-8 raises a ValueError, as it should."""
        return self.data.decode()

    @property
    def samples(self) -> array.array:
        """Audio as floats in -1..1."""
        return array.array("f", self.data)


def plugin(
    *,
    id,
    label,
    accepts,
    noun=None,
    control="file",
    icon="🐍",
    name=None,
    version="0.1.0",
    description="",
    max_positions=None,
    slot=None,
    max_input_bytes=20 << 20,
    needs=(),
    settings_schema=None,
    editable_text=True,
):
    """Makes the decorated function the plugin of this module. The arguments are fields of the manifest.

    An entry of `accepts` is a MIME type, or a form that the host makes: {"form": "audio", "sample_rate": 16000} or
    {"form": "image", "width": 64, "height": 64, "fit": "contain"}.
    """

    def decorate(function):
        global _plugin
        text = description or (function.__doc__ or sys.modules[function.__module__].__doc__ or "").strip()
        forms = [form if isinstance(form, dict) else {"form": "raw", "mime": form} for form in accepts]
        manifest = {
            "id": id,
            "name": name or id,
            "version": version,
            "description": text.split("\n")[0],
            "kinds": ["jnana.transcriber/1" if max_positions is None else "jnana.encoder/1"],
            "accepts": forms,
            "max_concurrency": 1,
            "max_input_bytes": max_input_bytes,
            # The bridge starts Python.
            "needs": sorted({"process", *needs}),
            "settings_schema": settings_schema or {},
            "ui": {
                "control": control,
                "label": label,
                "noun": noun or label,
                "icon": icon,
                "help": text.split("\n")[0],
                "accept": [form["mime"] if "mime" in form else form["form"] + "/*" for form in forms],
                "editable_text": editable_text and max_positions is None,
            },
        }
        if max_positions is not None:
            manifest["emits"] = {"dtype": "f32", "max_positions": max_positions}
            if slot is not None:
                manifest["emits"]["slot"] = slot
        _plugin = (manifest, function)
        return function

    return decorate


# ---- Answering: what runs in the process that the bridge starts ----

# A request: what for (1 create, 2 text, 3 rows), form, width, height, sample rate, then the lengths of MIME type and data.
_REQUEST = struct.Struct("=7Q")
# An answer: status, width of rows, length of what follows: text, rows, or the words of a failure.
_ANSWER = struct.Struct("=3Q")
CREATE, TEXT, ROWS = 1, 2, 3


def serve(requests, main):
    """Answers the bridge. The module `main` is imported when it asks for an instance."""
    # What is printed belongs into the log, line by line: the process may end at any time.
    os.dup2(2, 1)
    sys.stdout.reconfigure(line_buffering=True)
    answers = open(os.dup(0), "wb")
    rows_width = 0
    for what, form, width, height, sample_rate, mime, data in _requests(requests):
        try:
            if what == CREATE:
                rows_width = width
                _begin(main, data)
                body = b""
            else:
                given = Input(FORMS.get(form, ""), data, mime.decode(), width, height, sample_rate, rows_width)
                body = _call(what, given)
            status = OK
        except Exception as error:
            status, body = _blame(error), _words(error)
        answers.write(_ANSWER.pack(status, rows_width, len(body)) + body)
        answers.flush()


def _begin(main, data):
    given = json.loads(data or b"{}")
    if not isinstance(given, dict):
        raise ValueError("the settings are no JSON object")
    settings.update(given)
    __import__(main)


def _call(what, given):
    if not given.form:
        raise ValueError("the host gave an input of an unknown form")
    made = _plugin[1](given)
    if what == TEXT:
        if not isinstance(made, str):
            raise TypeError(f"expected text from the function, got {type(made).__name__}")
        # A zero would end the text for C; half a pair of surrogates is no UTF-8.
        return made.replace("\0", "\ufffd").encode("utf-8", "replace")
    return _rows(made, given.rows_width)


def _rows(made, width):
    if width == 0:
        raise ValueError("the host asked for no embedding space, so there is no width for rows")
    flat = array.array("f")
    for position, row in enumerate(made):
        flat.extend(row)
        if len(flat) != (position + 1) * width:
            raise TypeError(f"row {position}: expected {width} numbers, got {len(flat) - position * width}")
    return flat.tobytes()


def _requests(stream):
    """Reads in a thread of its own, so that a bridge that goes away ends this process at once, whatever it computes."""
    waiting = queue.SimpleQueue()

    def read():
        while len(head := stream.read(_REQUEST.size)) == _REQUEST.size:
            *numbers, mime, data = _REQUEST.unpack(head)
            waiting.put((*numbers, stream.read(mime), stream.read(data)))
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()


def _blame(error):
    if isinstance(error, ValueError):
        return INVALID_INPUT
    return RESOURCE if isinstance(error, (MemoryError, OSError)) else INTERNAL


def _words(error):
    # An input that is to blame can come as often as somebody likes: it does not fill the log.
    if _blame(error) != INVALID_INPUT:
        traceback.print_exception(type(error), error, error.__traceback__)
    words = f"{type(error).__name__}: {error}" if _blame(error) == INTERNAL else str(error) or type(error).__name__
    return words.replace("\0", "\ufffd").encode("utf-8", "replace")[:4000].decode("utf-8", "ignore").encode()


# ---- Building: a library out of sources ----

_PROGRAM = """import importlib.abc, importlib.util, sys
carried = {modules!r}
class Carried(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    def find_spec(self, name, path=None, target=None):
        return importlib.util.spec_from_loader(name, self) if name in carried else None
    def get_source(self, name):
        return carried[name]
    def get_code(self, name):
        return compile(carried[name], name + ".py", "exec")
sys.meta_path.insert(0, Carried())
import jnana_plugin
jnana_plugin.serve(requests, {main!r})
"""


def build(sources, out=None):
    """Makes the library of a plugin; returns its path."""
    main, here = Path(sources[0]), Path(__file__).resolve().parent
    manifest, _ = load(main)
    modules = {path.stem: path.read_text() for path in map(Path, sources)}
    modules["jnana_plugin"] = Path(__file__).read_text()
    library = Path(out or f"lib{manifest['id'].replace('-', '_').replace('.', '_')}.so")
    with tempfile.TemporaryDirectory() as folder:
        carried = _array("MANIFEST", json.dumps(manifest)) + _array("PROGRAM", _PROGRAM.format(modules=modules, main=main.stem))
        Path(folder, "carried.h").write_text(carried)
        # In the project of a plugin the header lies beside this file; in Jnana's own it has a folder.
        places = [folder, here, here.parent / "abi" / "include"]
        command = [*shlex.split(os.environ.get("CC", "cc")), "-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]
        command += ["-fvisibility=hidden", "-fPIC", "-shared", *(f"-I{place}" for place in places)]
        subprocess.run([*command, str(here / "bridge.c"), "-o", str(library)], check=True)
    return library


def load(main):
    """Imports a plugin's file; returns its manifest and its function."""
    sys.path.insert(0, str(Path(main).resolve().parent))
    runpy.run_path(str(main), run_name=Path(main).stem)
    if _plugin is None:
        raise SystemExit(f"{main}: no function is decorated with @plugin(...)")
    return _plugin


def _array(name, text):
    # Longer than the string literals that every C compiler takes.
    numbers = ",".join(str(byte if byte < 128 else byte - 256) for byte in text.encode())
    return f"static const char {name}[] = {{{numbers},0}};\n"


def _try(main, file, mime=None):
    manifest, function = load(main)
    raw = [form["mime"] for form in manifest["accepts"] if form["form"] == "raw"]
    print(function(Input("raw", Path(file).read_bytes(), mime or (raw or [""])[0], rows_width=8)))


def _main(arguments):
    if len(arguments) >= 2 and arguments[0] == "build":
        print(build(arguments[1:]))
    elif len(arguments) in (3, 4) and arguments[0] == "try":
        _try(*arguments[1:])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    # The plugin imports this file by its name: the module that it fills has to be the one that is asked.
    import jnana_plugin

    jnana_plugin._main(sys.argv[1:])
