"""Builds the Lambda layers: what `sam build` calls, by the layers' Makefiles. Standard library only.

::

    python -m local.layers dependencies <directory>     # becomes /opt: python/<packages>
    python -m local.layers shared <directory>           # becomes /opt: python/rill, bin/rill-runtime
"""
