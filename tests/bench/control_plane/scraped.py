"""What kube-scheduler and the API server count themselves."""

from __future__ import annotations

import ssl
import urllib.request
from collections import Counter
from collections.abc import Sequence

from prometheus_client.parser import text_string_to_metric_families

from hollow.bed import HollowCluster
from hollow.controllers import inside

_SCHEDULER = "https://127.0.0.1:10259/metrics"


def attempts(bed: HollowCluster) -> Counter[str]:
    """kube-scheduler's attempts so far by their result: scheduled, unschedulable or error."""
    return _counted(inside(bed.cluster, _scheduler_text), "scheduler_schedule_attempts_total", ["result"])


def requests(bed: HollowCluster) -> Counter[str]:
    """The API server's requests so far by verb and resource."""
    text = bed.kubectl("get", "--raw", "/metrics")
    return _counted(text, "apiserver_request_total", ["verb", "resource", "subresource"])


def _scheduler_text() -> str:
    # Its certificate is its own.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with urllib.request.urlopen(_SCHEDULER, context=context, timeout=30) as reply:
        text: str = reply.read().decode()
    return text


def _counted(text: str, name: str, labels: Sequence[str]) -> Counter[str]:
    # All of the API server's metrics would take seconds to parse.
    lines = "\n".join(line for line in text.splitlines() if line.startswith(f"{name}{{"))
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(lines + "\n"):
        for sample in family.samples:
            words = [sample.labels.get(label, "") for label in labels]
            found[" ".join(word for word in words if word)] += int(sample.value)
    return found
