"""Critics that training starts from: elliptical copulas, sums of pair copulas, and a softmax regression of labels."""
