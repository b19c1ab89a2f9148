"""Theme and style sheet of the page. Fonts are the system's, so that nothing is fetched."""

from __future__ import annotations

from typing import Any

_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
#header h1 { font-size: 1.75rem; font-weight: 700; margin: 0.4rem 0 0.1rem; letter-spacing: -0.01em; }
#header p { margin: 0; opacity: 0.8; }
#consent p { font-size: 0.85rem; opacity: 0.7; margin: 0; }
.examples button { font-weight: 500; min-width: 10rem; }
.emotion-plot { margin: 0; padding: 0.6rem 0.8rem 0.5rem; color: var(--body-text-color); }
.emotion-plot figcaption { font-size: 0.85rem; font-weight: 500; margin-bottom: 0.35rem; }
.emotion-plot svg { display: block; width: 100%; height: 130px; }
.emotion-plot .axis { display: flex; justify-content: space-between; font-size: 0.75rem; opacity: 0.7; }
.emotion-plot .legend { display: flex; flex-wrap: wrap; gap: 0.15rem 0.9rem; font-size: 0.8rem; margin-top: 0.25rem; }
.emotion-plot .legend span { display: inline-flex; align-items: center; gap: 0.35rem; }
.emotion-plot .legend i { width: 0.9rem; height: 0.25rem; border-radius: 2px; display: inline-block; }
.emotion-plot .legend i.dashed { height: 0; border-top: 2px dashed currentColor; border-radius: 0; opacity: 0.65; }
.emotion-plot.empty { opacity: 0.65; font-size: 0.9rem; padding: 1.6rem 0.8rem; text-align: center; }
#portrait label, #result label, #voice label, #files label { backdrop-filter: blur(6px); }
#files button[aria-label="Remove this file"] { display: none; }
#table * { font-family: inherit; }
[data-testid="status-tracker"]:has(.error) { display: none; }
@media (min-width: 760px) { #result-column { position: sticky; top: 0.8rem; align-self: flex-start; } }
#status p { margin: 0.1rem 0; font-size: 0.95rem; }
@media (max-width: 640px) {
  .gradio-container { padding-left: 0.6rem !important; padding-right: 0.6rem !important; }
  #header h1 { font-size: 1.4rem; }
}
"""


def theme() -> Any:
    """The page's theme."""
    import gradio as gr

    base = gr.themes.Soft(
        primary_hue="indigo", secondary_hue="indigo", neutral_hue="slate", radius_size="md", font=_FONTS, font_mono=_MONO
    )
    plain = {}
    for kind in ("block_label", "block_title"):
        plain |= {f"{kind}_background_fill{mode}": "transparent" for mode in ("", "_dark")}
        plain |= {f"{kind}_text_color{mode}": "*body_text_color" for mode in ("", "_dark")}
    return base.set(
        **plain,
        body_background_fill="*neutral_100",
        block_border_width="1px",
        block_shadow="none",
        block_title_padding="0",
        block_title_text_weight="500",
        block_label_text_weight="500",
    )
