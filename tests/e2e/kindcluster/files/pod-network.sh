#!/bin/sh
# The pod network of a node: a link to each of its own pods, and a route to the pods of each other node.
# NODE: this node's name. Every few seconds, because nodes come and go; one whose object was deleted comes back with
# other addresses for new pods, and links, unlike a bridge, leave those of the pods that run alone.
nodes='{range .items[*]}{.metadata.name} {.spec.podCIDR} {.status.addresses[?(@.type=="InternalIP")].address}{"\n"}{end}'
folder=/etc/cni/net.d

write_config() { # the addresses of this node's pods are kept in /run, and end with the pods when the node boots
  cat >"$folder/.new" <<C
{"cniVersion": "1.0.0", "name": "pods", "plugins": [
  {"type": "ptp", "ipam":
    {"type": "host-local", "dataDir": "/run/cni", "ranges": [[{"subnet": "$1"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
C
  if cmp -s "$folder/.new" "$folder/10-pods.conflist"; then rm "$folder/.new"; else mv "$folder/.new" "$folder/10-pods.conflist"; fi
}

while :; do
  # kubectl finds the pod's own credentials only where no flag says anything about the connection.
  if timeout 10 kubectl get nodes -o "jsonpath=$nodes" >/tmp/nodes; then
    while read -r name pods address; do
      if [ -z "$address" ]; then continue; fi
      if [ "$name" = "$NODE" ]; then write_config "$pods"; else ip route replace "$pods" via "$address"; fi
    done </tmp/nodes
    sleep 5
  else
    sleep 1
  fi
done
