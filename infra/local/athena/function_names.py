"""Functions of Trino's that the local Athena knows by name only, to refuse them by name."""

_NAMES = """
    approx_most_frequent approx_set array_frequency beta_cdf bing_tile_at bing_tiles_around
    bit_count bitwise_left_shift bitwise_right_shift bitwise_right_shift_arithmetic
    char2hexint checksum combinations convex_hull_agg cosine_similarity crc32
    empty_approx_set entropy evaluate_classifier_predictions from_base from_base32
    from_base64url from_big_endian_32 from_big_endian_64 from_encoded_polyline
    from_geojson_geometry from_ieee754_32 from_ieee754_64 from_iso8601_timestamp_nanos
    great_circle_distance grouping hash_counts hmac_md5 hmac_sha1 hmac_sha256 hmac_sha512
    human_readable_seconds index inverse_beta_cdf inverse_normal_cdf is_json_scalar
    json_array json_array_contains json_array_get json_exists json_object json_query
    json_size json_value learn_classifier learn_regressor line_locate_point luhn_check
    make_set_digest map_filter map_zip_with merge_set_digest multimap_agg
    multimap_from_entries murmur3 ngrams normal_cdf numeric_histogram parse_data_size
    parse_duration parse_presto_data_size qdigest_agg quantile_at_value reduce_agg
    regexp_position sha512 shuffle simplify_geometry soundex split_to_map split_to_multimap
    spooky_hash_v2_32 spooky_hash_v2_64 st_area st_asbinary st_astext st_contains
    st_distance st_intersects st_point strrpos tdigest_agg timezone_hour timezone_minute
    to_base to_base32 to_base64url to_big_endian_32 to_big_endian_64 to_char to_date
    to_geometry to_ieee754_32 to_ieee754_64 to_timestamp transform_keys transform_values
    trim_array url_extract_fragment url_extract_host url_extract_parameter url_extract_path
    url_extract_port url_extract_protocol url_extract_query value_at_quantile
    values_at_quantiles wilson_interval_lower wilson_interval_upper word_stem xxhash64
    zip_with
"""
NOT_YET = frozenset(_NAMES.split())
