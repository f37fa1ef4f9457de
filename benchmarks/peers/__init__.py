"""Other ways of writing from Ray Data under the same faults as ours."""
