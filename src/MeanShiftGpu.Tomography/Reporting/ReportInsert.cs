namespace MeanShiftGpu.Tomography.Reporting;

/// <summary>A part of a page that brings its own looks and behaviour.</summary>
/// <param name="Style">Rules for the style sheet.</param>
/// <param name="Markup">Well-formed elements.</param>
/// <param name="Script">A module of JavaScript, without the end of a CDATA section.</param>
internal sealed record ReportInsert(string Style, string Markup, string Script);
