"""The official OpenAI client against a real server with the default models: what its users call has to work.

Run by `cargo xtask test client`, which sets JNANA (the program) and JNANA_TEST_MODELS (a models folder).
"""

import base64
import os
import pathlib
import subprocess
import tempfile
import threading
import unittest

import openai

ROOT = pathlib.Path(__file__).resolve().parents[2]
PICTURE = ROOT / "e2e/assets/bear.jpg"
SPEECH = ROOT / "plugins/whisper/tests/fixtures/jfk.wav"
MODEL = "jnana-135m"
WORDS = "ask not what your country can do for you"


def encoded(path):
    return base64.b64encode(path.read_bytes()).decode()


def asked(question):
    return [{"role": "user", "content": question}]


class Server:
    """`jnana serve` on a free port with a home folder of its own."""

    def __init__(self):
        self.home = tempfile.TemporaryDirectory()
        (pathlib.Path(self.home.name) / "models").symlink_to(os.environ["JNANA_TEST_MODELS"])
        command = [os.environ["JNANA"], "serve", "--port", "0", "--offline", "--home", self.home.name]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        ready = "Jnana is ready on "
        line = next((line for line in self.process.stderr if line.startswith(ready)), None)
        if line is None:
            raise RuntimeError("jnana serve ended early")
        self.url = line.removeprefix(ready).strip()
        # Its pipe is read on, or its logs would block it.
        threading.Thread(target=self.process.stderr.read, daemon=True).start()

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=30)
        self.process.stderr.close()
        self.home.cleanup()


class OfficialClient(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.client = openai.OpenAI(base_url=f"{cls.server.url}/v1", api_key="none", max_retries=0)

    @classmethod
    def tearDownClass(cls):
        cls.client.close()
        cls.server.stop()

    def chat(self, content, **options):
        options = {"max_tokens": 24, **options}
        return self.client.chat.completions.create(model=MODEL, messages=asked(content), **options)

    def text(self, content, **options):
        return self.chat(content, **options).choices[0].message.content

    def test_models_are_listed(self):
        models = list(self.client.models.list())
        self.assertEqual([model.id for model in models], [MODEL])
        self.assertIn("image", models[0].model_extra["architecture"]["input_modalities"])

    def test_a_question_is_answered(self):
        answer = self.chat("What is the capital of France?")
        self.assertIn("Paris", answer.choices[0].message.content)
        self.assertEqual(answer.choices[0].message.role, "assistant")
        self.assertIn(answer.choices[0].finish_reason, ("stop", "length"))
        usage = answer.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    def test_a_stream_ends_with_its_usage(self):
        whole = self.text("What is the capital of France?")
        stream = self.chat("What is the capital of France?", stream=True, stream_options={"include_usage": True})
        chunks = list(stream)
        self.assertEqual("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), whole)
        self.assertEqual(chunks[-1].choices, [])
        self.assertGreater(chunks[-1].usage.completion_tokens, 0)
        self.assertTrue(all(chunk.usage is None for chunk in chunks[:-1]))

    def test_a_picture_takes_its_positions(self):
        words = {"type": "text", "text": "What is this?"}
        picture = {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded(PICTURE)}"}}
        without = self.chat([words], max_tokens=1).usage.prompt_tokens
        with_picture = self.chat([picture, words], max_tokens=1).usage.prompt_tokens
        self.assertGreaterEqual(with_picture - without, 49)

    def test_a_spoken_question_is_heard(self):
        speech = {"type": "input_audio", "input_audio": {"data": encoded(SPEECH), "format": "wav"}}
        answer = self.chat([speech])
        self.assertTrue(answer.choices[0].message.content)
        self.assertGreater(answer.usage.prompt_tokens, len(WORDS.split()))

    def transcribe(self, **options):
        with SPEECH.open("rb") as speech:
            return self.client.audio.transcriptions.create(model="whisper-1", file=speech, **options)

    def test_transcripts_come_in_every_form(self):
        self.assertIn(WORDS, self.transcribe().text.lower())
        verbose = self.transcribe(response_format="verbose_json")
        self.assertIn(WORDS, verbose.text.lower())
        self.assertAlmostEqual(verbose.duration, 11, delta=0.1)
        self.assertTrue(all(segment.start < segment.end for segment in verbose.segments))
        self.assertIn(WORDS, self.transcribe(response_format="text").lower())
        self.assertTrue(self.transcribe(response_format="srt").startswith("1\n00:00:0"))
        self.assertTrue(self.transcribe(response_format="vtt").startswith("WEBVTT\n\n"))

    def test_a_seed_repeats(self):
        drawn = lambda seed: self.text("Tell me a story.", temperature=1.0, top_p=0.95, seed=seed)
        self.assertEqual(drawn(7), drawn(7))
        self.assertNotEqual(drawn(7), drawn(8))

    def test_a_stop_string_ends_the_answer(self):
        question = "Count from 1 to 10."
        whole = self.text(question, max_tokens=60)
        self.assertIn("5", whole)
        cut = self.chat(question, max_tokens=60, stop=["5"])
        self.assertEqual(cut.choices[0].message.content, whole[: whole.index("5")])
        self.assertEqual(cut.choices[0].finish_reason, "stop")

    def refused(self, call, statuses=range(400, 500)):
        with self.assertRaises(openai.APIStatusError) as caught:
            call()
        self.assertIn(caught.exception.status_code, statuses)
        self.assertTrue(caught.exception.body["message"])
        return caught.exception.body

    def test_wrong_input_is_a_clear_4xx(self):
        body = self.refused(lambda: self.chat("Hi", temperature=-1), [400])
        self.assertEqual((body["type"], body["param"]), ("invalid_request_error", "temperature"))
        self.refused(lambda: self.chat([]))
        self.refused(lambda: self.client.chat.completions.create(model=MODEL, messages=[]))
        no_picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,bm90IGEgcGljdHVyZQ=="}}
        self.refused(lambda: self.chat([no_picture]))
        remote = {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/picture.png"}}
        self.refused(lambda: self.chat([remote]))
        no_sound = {"type": "input_audio", "input_audio": {"data": "bm8gc291bmQ=", "format": "wav"}}
        self.refused(lambda: self.chat([no_sound]))
        self.refused(lambda: self.chat("word " * 9000))
        self.refused(lambda: self.client.chat.completions.create(model="gpt-0", messages=asked("Hi")), [404])
        self.refused(lambda: self.client.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"no sound")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
