"""Input: a root. Does: tables, videos, model, MLflow -> facts, pictures, charts -> one page. Output: an HTML file."""
