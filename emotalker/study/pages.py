"""HTML of the pages. Everything comes from the study's own server; nothing says which system made a video."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from emotalker.study.definition import LETTERS, Study
from emotalker.study.store import Task


def page(title: str, body: str) -> str:
    """A whole page around ``body``, which is HTML."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="robots" content="noindex">'
        f'<title>{escape(title)}</title><link rel="icon" href="data:,"><link rel="stylesheet" href="/study.css"></head>\n'
        f'<body><main>{body}</main><script src="/study.js"></script></body></html>\n'
    )


def consent_page(study: Study, form_token: str) -> str:
    """The first page: what the study is, and a button to agree."""
    text = "".join(f"<p>{escape(part)}</p>" for part in study.consent.split("\n\n") if part.strip())
    return page(
        study.title,
        f'<div class="text"><h1>{escape(study.title)}</h1>{text}<p>The videos have sound: please use headphones or '
        'loudspeakers in a quiet place.</p><form method="post" action="/consent">'
        f'<input type="hidden" name="form" value="{form_token}">'
        '<button type="submit">I agree and want to begin</button></form></div>',
    )


def task_page(study: Study, task: Task, videos: Sequence[str], form_token: str) -> str:
    """Videos side by side and the criteria.

    Args:
        study: title and criteria.
        task: the rater's page.
        videos: opaque ids of the videos, left first.
        form_token: signature of the form.
    """
    figures = "".join(
        f'<figure><video src="/video/{video}" controls playsinline preload="auto" controlslist="nodownload" '
        f'aria-label="Video {letter}"></video><figcaption>Video {letter}</figcaption></figure>'
        for video, letter in zip(videos, LETTERS, strict=False)
    )
    check = ""
    if task.kind == "instructed":
        check = (
            '<p class="check">This page checks that you read with attention. '
            f"Please choose Video {LETTERS[task.expected or 0]} for every question.</p>"
        )
    questions = "".join(
        f"<fieldset><legend>{escape(question)}</legend><div class='choices'>{_choices(index, len(videos))}</div></fieldset>"
        for index, question in enumerate(study.criteria.values())
    )
    return page(
        study.title,
        f'<h1>{escape(study.title)}</h1><div class="progress">Page {task.number + 1} of at most {task.total}</div>'
        f'<progress max="{task.total}" value="{task.number}"></progress><div class="videos">{figures}</div>'
        '<button id="together" class="plain" type="button" hidden>Play all together</button>'
        f'<p id="watch-hint" class="hint" hidden>Please watch every video to its end; then you can answer.</p>{check}'
        f'<form id="answers" method="post" action="/answers" data-page="{task.id}"><input type="hidden" name="task" '
        f'value="{task.id}"><input type="hidden" name="form" value="{form_token}">{questions}'
        '<button type="submit">Next</button></form>',
    )


def _choices(index: int, count: int) -> str:
    return "".join(
        f'<label><input type="radio" name="q{index}" value="{place}" required> Video {LETTERS[place]}</label>'
        for place in range(count)
    )


def finish_page(study: Study, code: str | None) -> str:
    """The last page, with the rater's code; without one, there was nothing to rate."""
    if code is None:
        text = "<p>At the moment there is nothing left to rate. Please come back in half an hour.</p>"
    else:
        text = f'<p>Thank you, that was all. This is your code of completion:</p><p class="code" id="code">{escape(code)}</p>'
    return page(study.title, f'<div class="text"><h1>{escape(study.title)}</h1>{text}</div>')


def message_page(study: Study, text: str) -> str:
    """One sentence, and a link to go on."""
    body = f'<h1>{escape(study.title)}</h1><p>{escape(text)}</p><p><a href="/">Go on</a></p>'
    return page(study.title, f'<div class="text">{body}</div>')
