"""Functions of Trino's that the local Athena knows by name only, to refuse them by name."""

_NAMES = """
    approx_set array_frequency beta_cdf bing_tile_at bing_tiles_around char2hexint checksum
    convex_hull_agg empty_approx_set evaluate_classifier_predictions from_encoded_polyline
    from_geojson_geometry from_iso8601_timestamp_nanos from_unixtime_nanos great_circle_distance
    hash_counts index inverse_beta_cdf learn_classifier learn_regressor line_locate_point
    make_set_digest merge merge_set_digest murmur3 numeric_histogram parse_presto_data_size
    qdigest_agg quantile_at_value simplify_geometry spooky_hash_v2_32 spooky_hash_v2_64 st_area
    st_asbinary st_astext st_contains st_distance st_intersects st_point strrpos t_cdf t_pdf
    tdigest_agg to_char to_date to_geometry to_timestamp value_at_quantile values_at_quantiles
    word_stem xxhash64
"""
NOT_YET = frozenset(_NAMES.split())
