# The nested modules. The scripts in this directory source this file.

# A release tags these modules.
released='mqtt/boltoutbox mqtt/otelmqtt mqtt/prommqtt mqtt/websocket paho'

# These modules hold programs and tests. make test covers them, but no release tags them.
unreleased='examples/observe test/paho'

benchmark=test/bench
