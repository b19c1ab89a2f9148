"""The user study: pages for raters, answers, analysis (supplement, section 3)."""
