"""Layer 1: the vocabulary of load. Pure.

Five groups of modules:

    what is asked for        spec profile profile_text scenario csv_data checks jsonpath thresholds request_names
    whether it is admitted   admission caps protocols digests
    when, and whose          schedule arrivals exponentials turns
    the books                ledger figures
    what they say            buckets distribution checking judging course verdict
"""
