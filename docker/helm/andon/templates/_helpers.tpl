{{- define "andon.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "andon.fullname" -}}
{{ printf "%s-%s" .release .entry.name | trunc 52 | trimSuffix "-" }}
{{- end -}}

{{- define "andon.labels" -}}
app.kubernetes.io/name: andon
app.kubernetes.io/instance: {{ .release }}
app.kubernetes.io/component: {{ .role }}
andon/node: {{ .entry.name }}
{{- end -}}

{{- define "andon.config" -}}
{{- $rpc := .root.Values.rpc -}}
peer_host = "0.0.0.0"
peer_port = {{ .node.peerPort }}
rpc_host = "0.0.0.0"
rpc_port = {{ .node.rpcPort }}
worker_backend = {{ if eq .role "observer" }}"none"{{ else if .node.gpus }}"gpu"{{ else }}"cpu"{{ end }}
observer_keys = {{ .root.Values.observerKeys | toJson }}
{{- if $rpc.tls }}
rpc_tls_cert = "/var/lib/andon-door/tls.crt"
rpc_tls_key = "/var/lib/andon-door/tls.key"
{{- end }}
{{- if $rpc.keys }}
rpc_keys_file = "/var/lib/andon-door/keys.toml"
{{- end }}
{{- if $rpc.clientCa }}
rpc_client_ca = "/var/lib/andon-door/client-ca.crt"
{{- end }}
{{- if $rpc.revoked }}
rpc_revoked_file = "/var/lib/andon-door/revoked.txt"
{{- end }}
{{- with .node.config }}
{{ . }}
{{- end }}
{{- end -}}
