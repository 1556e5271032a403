"""The files of a bundle by name: the evaluation, the reports and the seal write them, sinks and commands read them."""

SUITE_FILE = "suite.yaml"
"""The suite as it was written; a suite's own folder calls it the same."""

SUMMARY, BAD_ROWS = "summary.json", "bad_rows.jsonl"
RESULTS_CSV, RESULTS_JSONL, RESULTS_PARQUET = "results.csv", "results.jsonl", "results.parquet"
TRIALS_PARQUET = "trials.parquet"
REPORT_HTML, REPORT_MD, REPORT_XLSX = "report.html", "report.md", "report.xlsx"

MANIFEST_NAME, SIGNATURE_NAME, PUBLIC_KEY_NAME = "manifest.json", "manifest.json.sig", "signer.pub"
MESSAGE_BUNDLE_NAME, PROVENANCE_NAME = "manifest.sigstore.json", "provenance.sigstore.json"
SEAL_NAMES = frozenset({MANIFEST_NAME, SIGNATURE_NAME, PUBLIC_KEY_NAME, MESSAGE_BUNDLE_NAME, PROVENANCE_NAME})
"""The files of a seal by a key pair."""

HMAC_NAME = "manifest.json.hmac"
HMAC_SEAL_NAMES = frozenset({MANIFEST_NAME, HMAC_NAME})
"""The files of a seal by a shared secret; see `signing.HmacSigner` for what it does not prove."""

ALL_SEAL_NAMES = SEAL_NAMES | HMAC_SEAL_NAMES
