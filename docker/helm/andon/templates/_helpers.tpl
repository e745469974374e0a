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
