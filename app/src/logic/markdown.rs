//! A model's Markdown as HTML that can do no harm.
//!
//! Only elements written here can come out: raw HTML becomes text, links carry `rel` and a visible mark, other
//! people's embedded media become links. Each top-level block is a string of its own, so that a growing answer
//! redraws only its last block.

use pulldown_cmark::{Alignment, CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

/// The HTML of every top-level block.
#[must_use]
pub fn blocks(markdown: &str) -> Vec<String> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS;
    let mut writer = Writer::default();
    for event in Parser::new_ext(markdown, options) {
        writer.event(event);
    }
    writer.blocks
}

#[derive(Default)]
struct Writer {
    blocks: Vec<String>,
    html: String,
    depth: usize,
    /// For every open link whether it became an anchor.
    anchors: Vec<bool>,
    alignments: Vec<Alignment>,
    cell: usize,
    in_head: bool,
}

impl Writer {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => {
                self.depth += 1;
                self.start(tag);
            }
            Event::End(tag) => {
                self.end(tag);
                self.depth = self.depth.saturating_sub(1);
            }
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => self.text(&text),
            Event::Code(code) => {
                self.html.push_str("<code>");
                self.text(&code);
                self.html.push_str("</code>");
            }
            Event::SoftBreak => self.html.push('\n'),
            Event::HardBreak => self.html.push_str("<br>"),
            Event::Rule => self.html.push_str("<hr>"),
            Event::TaskListMarker(done) => self.html.push_str(if done { "☑ " } else { "☐ " }),
            Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                self.text(&text);
            }
        }
        if self.depth == 0 && !self.html.is_empty() {
            self.blocks.push(std::mem::take(&mut self.html));
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Paragraph | Tag::HtmlBlock => self.html.push_str("<p>"),
            Tag::Heading { level, .. } => self.html.push_str(&format!("<h{}>", heading(level as usize))),
            Tag::BlockQuote(_) => self.html.push_str("<blockquote>"),
            Tag::CodeBlock(kind) => self.start_code(&kind),
            Tag::List(None) => self.html.push_str("<ul>"),
            Tag::List(Some(first)) => self.html.push_str(&format!("<ol start=\"{first}\">")),
            Tag::Item => self.html.push_str("<li>"),
            Tag::Table(alignments) => {
                self.alignments = alignments;
                self.html.push_str("<div class=\"table\" tabindex=\"0\"><table>");
            }
            Tag::TableHead => {
                self.in_head = true;
                self.cell = 0;
                self.html.push_str("<thead><tr>");
            }
            Tag::TableRow => {
                self.cell = 0;
                self.html.push_str("<tr>");
            }
            Tag::TableCell => self.start_cell(),
            Tag::Emphasis => self.html.push_str("<em>"),
            Tag::Strong => self.html.push_str("<strong>"),
            Tag::Strikethrough => self.html.push_str("<del>"),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => self.start_link(&dest_url),
            _ => {}
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph | TagEnd::HtmlBlock => self.html.push_str("</p>"),
            TagEnd::Heading(level) => self.html.push_str(&format!("</h{}>", heading(level as usize))),
            TagEnd::BlockQuote(_) => self.html.push_str("</blockquote>"),
            TagEnd::CodeBlock => self.html.push_str("</code></pre></div>"),
            TagEnd::List(ordered) => self.html.push_str(if ordered { "</ol>" } else { "</ul>" }),
            TagEnd::Item => self.html.push_str("</li>"),
            TagEnd::Table => self.html.push_str("</tbody></table></div>"),
            TagEnd::TableHead => {
                self.in_head = false;
                self.html.push_str("</tr></thead><tbody>");
            }
            TagEnd::TableRow => self.html.push_str("</tr>"),
            TagEnd::TableCell => self.html.push_str(if self.in_head { "</th>" } else { "</td>" }),
            TagEnd::Emphasis => self.html.push_str("</em>"),
            TagEnd::Strong => self.html.push_str("</strong>"),
            TagEnd::Strikethrough => self.html.push_str("</del>"),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            _ => {}
        }
    }

    fn start_code(&mut self, kind: &CodeBlockKind<'_>) {
        let language: &str = match kind {
            CodeBlockKind::Fenced(info) => info.split_whitespace().next().unwrap_or_default(),
            CodeBlockKind::Indented => "",
        };
        self.html.push_str("<div class=\"code\"><div class=\"code-bar\"><span>");
        self.text(language);
        self.html.push_str(
            "</span><button type=\"button\" class=\"code-copy\">Copy code</button></div><pre tabindex=\"0\"><code>",
        );
    }

    fn start_cell(&mut self) {
        let name = if self.in_head { "th" } else { "td" };
        let class = match self.alignments.get(self.cell) {
            Some(Alignment::Center) => " class=\"center\"",
            Some(Alignment::Right) => " class=\"right\"",
            _ => "",
        };
        self.cell += 1;
        self.html.push_str(&format!("<{name}{class}>"));
    }

    /// An anchor for web and mail addresses outside of other anchors; anything else is its text alone.
    fn start_link(&mut self, address: &CowStr<'_>) {
        let anchor = is_harmless(address) && !self.anchors.contains(&true);
        self.anchors.push(anchor);
        if anchor {
            self.html.push_str(
                "<a class=\"external\" target=\"_blank\" rel=\"noopener nofollow noreferrer\" href=\"",
            );
            self.text(address);
            self.html.push_str("\">");
        }
    }

    fn end_link(&mut self) {
        if self.anchors.pop() == Some(true) {
            self.html.push_str("<span class=\"sr\"> (opens in a new tab)</span></a>");
        }
    }

    fn text(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.html.push_str("&amp;"),
                '<' => self.html.push_str("&lt;"),
                '>' => self.html.push_str("&gt;"),
                '"' => self.html.push_str("&quot;"),
                '\'' => self.html.push_str("&#39;"),
                _ => self.html.push(character),
            }
        }
    }
}

/// An answer's headings come below the page's own.
fn heading(level: usize) -> usize {
    (level + 1).min(6)
}

fn is_harmless(address: &str) -> bool {
    let start = address.get(..8).unwrap_or(address).to_ascii_lowercase();
    ["https://", "http://", "mailto:"].iter().any(|scheme| start.starts_with(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(markdown: &str) -> String {
        blocks(markdown).concat()
    }

    #[test]
    fn blocks_are_kept_apart() {
        let blocks = blocks("# Title\n\nOne *two* `three`.\n\n- a\n- b\n\n---\n");
        assert_eq!(
            blocks,
            [
                "<h2>Title</h2>",
                "<p>One <em>two</em> <code>three</code>.</p>",
                "<ul><li>a</li><li>b</li></ul>",
                "<hr>",
            ]
        );
    }

    #[test]
    fn raw_html_is_text() {
        let html = html("<script>alert(1)</script>\n\nx <img src=x onerror=alert(1)> y");
        assert!(!html.contains("<script") && !html.contains("<img"), "{html}");
        assert!(html.contains("&lt;script&gt;") && html.contains("&lt;img"), "{html}");
    }

    #[test]
    fn links_are_marked_and_leave_nothing_behind() {
        let html = html("[site](https://example.org/?a=1&b=\"2\")");
        assert!(
            html.contains("rel=\"noopener nofollow noreferrer\"") && html.contains("target=\"_blank\""),
            "{html}"
        );
        assert!(html.contains("href=\"https://example.org/?a=1&amp;b="), "{html}");
        assert!(html.contains("opens in a new tab"), "{html}");
    }

    #[test]
    fn other_schemes_are_no_links() {
        for address in
            ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "/api/status", "vbscript:x"]
        {
            let html = html(&format!("[go]({address})"));
            assert_eq!(html, "<p>go</p>", "{address}");
        }
    }

    #[test]
    fn remote_media_become_links() {
        let alone = html("![a cat](https://example.org/cat.png)");
        assert!(!alone.contains("<img"), "{alone}");
        assert!(alone.contains("href=\"https://example.org/cat.png\">a cat"), "{alone}");
        let nested = html("[![a cat](https://example.org/c.png)](https://example.org)");
        assert_eq!(nested.matches("<a ").count(), 1, "{nested}");
    }

    #[test]
    fn code_keeps_its_characters_and_can_be_copied() {
        let html = html("```rust onload\nlet a = b < c && d;\n```");
        assert!(html.contains("<span>rust</span>"), "{html}");
        assert!(html.contains("code-copy"), "{html}");
        assert!(html.contains("let a = b &lt; c &amp;&amp; d;\n</code></pre></div>"), "{html}");
    }

    #[test]
    fn tables_have_heads_and_alignment() {
        let html = html("| a | b |\n|---|--:|\n| 1 | 2 |\n");
        assert!(
            html.contains("<thead><tr><th>a</th><th class=\"right\">b</th></tr></thead><tbody>"),
            "{html}"
        );
        assert!(
            html.contains("<tr><td>1</td><td class=\"right\">2</td></tr></tbody></table></div>"),
            "{html}"
        );
    }

    #[test]
    fn a_growing_answer_keeps_its_earlier_blocks() {
        let before = blocks("First.\n\nSecond is");
        let after = blocks("First.\n\nSecond is longer.\n\nThird");
        assert_eq!(before[0], after[0]);
        assert_eq!((before.len(), after.len()), (2, 3));
    }

    #[test]
    fn unfinished_markdown_still_closes() {
        for text in ["```\ncode", "**bold", "[link](https://e", "| a |\n|--", "> quote\n- item"] {
            let html = html(text);
            let opened = html.matches('<').count() - html.matches("</").count();
            let void = html.matches("<br>").count() + html.matches("<hr>").count();
            assert_eq!(opened - void, html.matches("</").count(), "{html}");
        }
    }
}
