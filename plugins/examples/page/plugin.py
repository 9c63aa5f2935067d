"""Reads a saved web page: its title, headings, paragraphs and list items as plain text."""

from html.parser import HTMLParser

from jnana_plugin import Input, plugin

# A language model of two thousand positions has no use for more.
LONGEST = 6000
BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "h6", "li", "tr", "pre", "blockquote", "title", "div", "section", "article", "br"}
UNSEEN = {"script", "style", "noscript", "template", "svg", "nav", "footer", "form"}


class Reader(HTMLParser):
    """Collects the text of a page, a line for each block."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.lines = [""]
        self.unseen = []

    def handle_starttag(self, tag, attributes):
        if tag in UNSEEN:
            self.unseen.append(tag)
        if tag in BLOCKS:
            self.lines.append("- " if tag == "li" else "")

    def handle_endtag(self, tag):
        # Pages leave elements open; the end of an outer one ends those inside of it.
        if tag in self.unseen:
            del self.unseen[self.unseen.index(tag) :]
        if tag in BLOCKS:
            self.lines.append("")

    def handle_data(self, data):
        if not self.unseen:
            self.lines[-1] += data


@plugin(
    id="page",
    name="Web pages",
    label="Attach a web page",
    noun="Page",
    icon="📄",
    accepts=["text/html", "application/xhtml+xml"],
)
def read(given: Input) -> str:
    reader = Reader()
    reader.feed(given.text)
    reader.close()
    lines = (" ".join(line.split()) for line in reader.lines)
    text = "\n".join(line for line in lines if line.strip("- "))
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " …"
