"""The node: identity, registration, mesh endpoint, lease and role. What a role does is in its driver.

`core` decides (pure); `server` runs it; `sampler` measures the host.
"""
