"""Critics without training: log density ratios of elliptical copulas, of coordinates or of functions of them."""
