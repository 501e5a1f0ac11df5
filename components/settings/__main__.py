"""`python -m components.settings`: writes README's settings table and Pulumi.yaml's descriptions
again.
"""

from pathlib import Path

from components.settings.reference import write

if __name__ == "__main__":
    changed = write(Path(__file__).resolve().parents[2])
    print(f"Written again: {', '.join(changed)}." if changed else "README.md and Pulumi.yaml say what the models say.")
