"""Speed, measured: ours against the peers, side by side in the same run, interleaved.   python -m benchmarks cpu"""
