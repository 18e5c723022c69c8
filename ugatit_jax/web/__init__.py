"""The page on which people translate pictures, and watch a training, in a browser.

`studio.py` and `progress.py` know no page; only `app.py` imports Gradio.
"""

import os

# Before Gradio is imported: nothing is told to anybody.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
