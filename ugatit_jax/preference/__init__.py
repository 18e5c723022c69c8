"""The paper's user study: pictures side by side without names, choices of people, a report on them.

Nothing here trains or scores; the page is served from memory and by number, never by path.
"""
