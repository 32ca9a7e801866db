"""HTML of all pages: templates with one style sheet, filled by Jinja, which escapes texts."""
