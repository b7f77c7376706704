{{- define "hami-dra.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 40 }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 40 }}{{ end }}
{{- end }}

{{- define "hami-dra.image" -}}
{{ required "image.repository is empty: build the image with `make driver-image`, push it to a registry that your nodes reach, and name it with --set image.repository=REGISTRY/hami-dra" .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{- define "hami-dra.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "hami-dra.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "hami-dra.podIdentity" -}}
- {name: HAMI_DRA_NODE_NAME, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
- {name: HAMI_DRA_POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
- {name: HAMI_DRA_POD_NAMESPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}}
- {name: HAMI_DRA_POD_UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}
{{- end }}

{{- /* The kubelet plugin's settings of all nodes, or of an entry of kubeletPlugin.nodes, as its file has them. */ -}}
{{- define "hami-dra.pluginSettings" -}}
{{- $names := dict "sharesPerGPU" "sharesPerGpu" "bypassMiB" "bypassMib" }}
{{- range $key := list "sharesPerGPU" "migStrategy" "driverRoot" "devRoot" "nvidiaCtk" "leaveOwned" "onBypass" "bypassMiB" "onUnhealthy" "applicationXids" "xidHoldSeconds" }}
{{- if hasKey $ $key }}
{{ get $names $key | default $key }}: {{ get $ $key | toJson }}
{{- end }}
{{- end }}
{{- range $sense, $lists := default dict .gpus }}
{{- range $kind, $list := $lists }}
{{ $sense }}{{ title $kind }}: {{ toJson $list }}
{{- end }}
{{- end }}
{{- end }}

{{- /* True where any node's nvidia-ctk is run, which happens in the node's root. */ -}}
{{- define "hami-dra.runsNvidiaCtk" -}}
{{- if .Values.kubeletPlugin.nvidiaCtk }}true{{ else }}{{ range .Values.kubeletPlugin.nodes }}{{ if .nvidiaCtk }}true{{ end }}{{ end }}{{ end }}
{{- end }}

{{- /* True where the plugin of any node may end pods: what is said of some nodes needs the permission as well. */ -}}
{{- define "hami-dra.evicts" -}}
{{- $evicts := eq .Values.kubeletPlugin.onBypass "evict" }}
{{- range .Values.kubeletPlugin.nodes }}{{ if eq (default "" .onBypass) "evict" }}{{ $evicts = true }}{{ end }}{{ end }}
{{- if $evicts }}true{{ end }}
{{- end }}

{{- /* The folder of the node that the kubelet plugin sees: all of it where nvidia-ctk runs, or where nodes differ. */ -}}
{{- define "hami-dra.mountedRoot" -}}
{{- $root := .Values.kubeletPlugin.nvidiaCtk | empty | ternary .Values.kubeletPlugin.driverRoot "/" }}
{{- range .Values.kubeletPlugin.nodes }}{{ if or .nvidiaCtk .driverRoot }}{{ $root = "/" }}{{ end }}{{ end }}
{{- $root }}
{{- end }}

{{- /*
True where the controller may touch pods: with gateAndPin, and in the upgrade that turns it off, so that what is gated
then is not stranded; the upgrade after that takes the permission away.
*/ -}}
{{- define "hami-dra.touchesPods" -}}
{{- $before := lookup "v1" "ConfigMap" .Release.Namespace (printf "%s-controller" (include "hami-dra.name" .)) }}
{{- if or .Values.controller.gateAndPin (contains "gateAndPin: true" (dig "data" "config.yaml" "" $before)) }}true{{ end }}
{{- end }}

{{- /* The classes of this chart, as a list of CEL. */ -}}
{{- define "hami-dra.celOurClasses" -}}
["gpu.hami.io", "mig.gpu.hami.io"]
{{- end }}

{{- /* True where a request (variable r of a CEL expression) names a class of ours. */ -}}
{{- define "hami-dra.celNamesOurClass" -}}
{{- $ours := include "hami-dra.celOurClasses" . -}}
(has(r.exactly) && r.exactly.deviceClassName in {{ $ours }}) || (has(r.firstAvailable) && r.firstAvailable.exists(s, s.deviceClassName in {{ $ours }}))
{{- end }}

{{- /* True where a request is the kubelet plugin's (CEL). */ -}}
{{- define "hami-dra.celIsKubeletPlugin" -}}
request.userInfo.username == "system:serviceaccount:{{ .Release.Namespace }}:{{ include "hami-dra.name" . }}-kubelet-plugin"
{{- end }}

{{- /* The node that the caller's token is bound to, by way of its pod; empty where it is bound to none (CEL). */ -}}
{{- define "hami-dra.celCallerNode" -}}
request.userInfo.extra[?"authentication.kubernetes.io/node-name"].optMap(names, names[0]).orValue("")
{{- end }}
