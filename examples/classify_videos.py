"""A classifier on the table, with scikit-learn: python examples/classify_videos.py ROOT.

A vector for each labelled video is the mean over its clips. Cross-validation keeps the videos of one source together
(the label attribute `source_group`); videos without it are sources of their own.
"""

import sys

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import pipeline

LABELLED_CLIPS = """
    SELECT video_id, label, coalesce(attributes['source_group'], video_id) AS source, embedding
    FROM features JOIN labels USING (video_id)
    WHERE labels.start_s IS NULL AND model_version = (SELECT max(model_version::BIGINT)::VARCHAR FROM features)
"""


def main(root_uri: str) -> None:
    """Print the share of videos whose label is found by a classifier that never saw their source."""
    clips = pipeline.open_root(root_uri).sql(f"{LABELLED_CLIPS} ORDER BY video_id")
    vectors = np.array(clips["embedding"].to_pylist())  # (N, D)
    _, first, video = np.unique(clips["video_id"].to_pylist(), return_index=True, return_inverse=True)
    means = np.zeros((len(first), vectors.shape[1]))
    np.add.at(means, video, vectors / np.bincount(video)[video, None])
    labels = np.array(clips["label"].to_pylist())[first]
    sources = np.array(clips["source"].to_pylist())[first]

    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = GroupKFold(n_splits=min(5, len(set(sources))))
    predicted = cross_val_predict(classifier, means, labels, groups=sources, cv=folds)
    print(f"{len(labels)} videos, {len(set(labels))} labels, {len(set(sources))} sources")
    print(f"accuracy {np.mean(predicted == labels):.3f}")


if __name__ == "__main__":
    main(sys.argv[1])
